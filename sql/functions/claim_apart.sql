-- llmreq_claim_apart(worker, limit, skip) → as llmreq_claim; a row with claim_seq NULL names a request that nobody can claim
-- For when llmreq_claim raises: lane by lane and row by row, so that what raises is found and the others are claimed. A request whose
-- claim is refused, as by somebody's trigger, ends failed; if even that is refused it comes back with claim_seq NULL, to be skipped.
CREATE OR REPLACE FUNCTION llmreq_claim_apart(p_worker bigint, p_limit integer, p_skip uuid[] DEFAULT '{}')
RETURNS TABLE (
  id uuid, claim_seq integer, claimed_at timestamptz, lane text, tenant_id text, attempt smallint, max_output_tokens integer,
  priced boolean, documented boolean
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan SET lock_timeout = '1s' SET llmreq.engine = 'on'
AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := llmreq_now();
  v_due llm_due;
  v_lane llm_lanes;
  v_provider llm_lanes;
  v_left integer := p_limit;
  v_taken integer;
BEGIN
  FOREACH v_due IN ARRAY llmreq_begin_claim(p_worker, p_limit, v_now) LOOP
    EXIT WHEN v_left <= 0;
    SELECT l.* INTO v_lane FROM llm_lanes l WHERE l.lane = v_due.lane FOR NO KEY UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    SELECT x.* INTO v_provider FROM llm_lanes x WHERE x.lane = llmreq_provider_lane(v_lane.lane) FOR NO KEY UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND AND EXISTS (SELECT FROM llm_lanes x WHERE x.lane = llmreq_provider_lane(v_lane.lane));
    BEGIN
      RETURN QUERY SELECT * FROM llmreq_take_apart(p_worker, v_due, v_lane, v_provider, v_left, p_skip, v_now);
      GET DIAGNOSTICS v_taken = ROW_COUNT;
      v_left := v_left - v_taken;
    EXCEPTION WHEN OTHERS THEN
      PERFORM llmreq_report('lane_refused', v_due.lane, SQLSTATE);
    END;
  END LOOP;
END
$$;

-- llmreq_take_apart(worker, due row, lane row, provider's row, limit, skip, now) → one lane's part of it
CREATE OR REPLACE FUNCTION llmreq_take_apart(
  p_worker bigint, d llm_due, l llm_lanes, p llm_lanes, p_limit integer, p_skip uuid[], p_now timestamptz
)
RETURNS TABLE (
  id uuid, claim_seq integer, claimed_at timestamptz, lane text, tenant_id text, attempt smallint, max_output_tokens integer,
  priced boolean, documented boolean
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
  v_picked llmreq_picked;
  v_chosen llmreq_picked[];
BEGIN
  l := llmreq_filled(l, p_now);
  IF p.lane IS NOT NULL THEN
    p := llmreq_filled(p, p_now);
  END IF;
  v_chosen := (llmreq_choose(l, p, d, p_limit, p_skip, p_now)).picked;
  FOREACH v_picked IN ARRAY v_chosen LOOP
    BEGIN
      RETURN QUERY SELECT * FROM llmreq_take(p_worker, l, p, ARRAY[v_picked], EXISTS (SELECT FROM llm_budgets), p_now);
      SET CONSTRAINTS ALL IMMEDIATE;  -- what somebody's deferred trigger would raise at the commit is raised here
      SET CONSTRAINTS ALL DEFERRED;
    EXCEPTION WHEN OTHERS THEN
      IF SQLSTATE IN ('40001', '40P01', '55P03') THEN
        CONTINUE;
      END IF;
      PERFORM llmreq_report('claim_refused', v_picked.id::text, SQLSTATE);
      IF NOT llmreq_fail_unclaimed(v_picked.id, SQLERRM, p_now) THEN
        id := v_picked.id;
        lane := l.lane;
        RETURN NEXT;
      END IF;
      id := NULL;
      lane := NULL;
    END;
  END LOOP;
END
$$;

-- llmreq_fail_unclaimed(request, why, now) → whether it could be ended
CREATE OR REPLACE FUNCTION llmreq_fail_unclaimed(p_id uuid, p_why text, p_now timestamptz) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
  v_parent uuid;
BEGIN
  UPDATE llm_requests q
  SET status = 'failed', claim_seq = q.claim_seq + 1, error_code = 'internal', completed_at = p_now, updated_at = p_now, wait_reason = NULL,
      error_message = format('the database refuses to let it be claimed: %s', left(p_why, 200))
  WHERE q.id = p_id AND q.status = 'pending' RETURNING q.parent_id INTO v_parent;
  SET CONSTRAINTS ALL IMMEDIATE;
  SET CONSTRAINTS ALL DEFERRED;
  IF v_parent IS NOT NULL THEN
    PERFORM llmreq_turn_pages(ARRAY[v_parent]);
  END IF;
  RETURN true;
EXCEPTION WHEN OTHERS THEN
  RETURN false;
END
$$;
