-- llmreq_claim(worker, limit, skip) → the claimed requests, without their payload
-- Takes up to `limit` due requests for one worker, lane by lane, and marks them processing. The caller commits, reads what it
-- claimed from llm_requests, and calls. `documented`: an agent, a page or a document stands behind it. `skip`: requests to pass over.
--
-- Guarantees
--   Each claim bumps claim_seq, the fence: one claim, one call, one attempt (invariant 1).
--   A lane is claimed by one worker at a time: its row is the mutex and holds the fleet's limits, so requests and tokens per
--   minute, calls in flight, a block and the breaker are exact for the whole fleet and are met before the call (invariant 4).
--   The row 'openai/*' holds those of all lanes of a provider.
--   A lane that is locked, paused, blocked, full or not served by this worker costs nothing and blocks no other lane.
-- Races
--   A worker whose lease ended may not claim: it raises LQ001 and takes nothing. The check locks the worker's row against
--   rescue until the claim commits, so a claim and the rescue of its worker cannot pass each other.
--   Nothing here waits for a lock but for milliseconds: a lane that a finish holds is tried again, then left to the next
--   poll; a request that is being cancelled or edited is passed over.
--   What comes back is small, because a worker that stands still while Postgres sends would keep its lanes locked.
-- Speed
--   Lanes come from the index of what is due (due.sql), tenants by loose index scan, rows by LATERAL probes with equality on
--   lane, tenant and priority: each probe ends where it should, whatever the backlog and however many rows are delayed.
-- Plans
--   A claim goes by index and nested loop, without jit, and its plans are generic, in all that it calls: right after a bulk insert
--   the statistics are wrong, a hot query may not depend on them, and planning it again would cost more than running it.
CREATE OR REPLACE FUNCTION llmreq_claim(p_worker bigint, p_limit integer, p_skip uuid[] DEFAULT '{}')
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
  v_due llm_due[];
  v_wanted text[];  -- lanes still to be visited
  v_more text[] := '{}';  -- lanes that took their whole share
  v_left integer := p_limit;
  v_lane llm_lanes;
  v_provider llm_lanes;
  v_share integer;
  v_taken integer;
  v_budgeted boolean;
BEGIN
  v_due := llmreq_begin_claim(p_worker, p_limit, v_now);
  v_wanted := ARRAY(SELECT d.lane FROM unnest(v_due) d);
  v_budgeted := v_wanted <> '{}' AND EXISTS (SELECT FROM llm_budgets);
  FOR i IN 1 .. 5 LOOP
    EXIT WHEN v_wanted = '{}' OR v_left <= 0;
    PERFORM pg_sleep(0.002) WHERE i > 1;
    FOR v_lane IN
      SELECT l.* FROM llm_lanes l WHERE l.lane = ANY (v_wanted) ORDER BY random() FOR NO KEY UPDATE SKIP LOCKED
    LOOP
      EXIT WHEN v_left <= 0;
      SELECT x.* INTO v_provider FROM llm_lanes x WHERE x.lane = llmreq_provider_lane(v_lane.lane) FOR NO KEY UPDATE SKIP LOCKED;
      CONTINUE WHEN NOT FOUND AND EXISTS (SELECT FROM llm_lanes x WHERE x.lane = llmreq_provider_lane(v_lane.lane));
      -- An equal share for each lane; what one leaves, the next may have.
      v_share := ceil(v_left::numeric / greatest(1, cardinality(v_wanted)));
      RETURN QUERY SELECT * FROM llmreq_visit(
        p_worker, (SELECT d FROM unnest(v_due) d WHERE d.lane = v_lane.lane), v_lane, v_provider, v_share, v_budgeted, p_skip, v_now);
      GET DIAGNOSTICS v_taken = ROW_COUNT;
      v_left := v_left - v_taken;
      v_wanted := array_remove(v_wanted, v_lane.lane);
      IF v_taken = v_share THEN
        v_more := v_more || v_lane.lane;
      END IF;
    END LOOP;
  END LOOP;
  -- And what the last ones left, the first: their rows are still locked.
  FOR v_lane IN SELECT l.* FROM llm_lanes l WHERE l.lane = ANY (v_more) ORDER BY random() LOOP
    EXIT WHEN v_left <= 0;
    SELECT x.* INTO v_provider FROM llm_lanes x WHERE x.lane = llmreq_provider_lane(v_lane.lane);
    RETURN QUERY SELECT * FROM llmreq_visit(p_worker, NULL, v_lane, v_provider, v_left, v_budgeted, p_skip, v_now);
    GET DIAGNOSTICS v_taken = ROW_COUNT;
    v_left := v_left - v_taken;
  END LOOP;
END
$$;

-- llmreq_begin_claim(worker, limit, now) → the lanes to visit
-- What every claim begins with: the lease, new budgets, requests whose budget has room again, and what was signalled.
CREATE OR REPLACE FUNCTION llmreq_begin_claim(p_worker bigint, p_limit integer, p_now timestamptz) RETURNS llm_due[]
LANGUAGE plpgsql
AS $$
DECLARE
  v_providers text[];
BEGIN
  SELECT w.providers INTO v_providers FROM llm_workers w
  WHERE w.id = p_worker AND w.state = 'alive' AND w.lease_until > p_now
  FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'worker % has no lease', p_worker USING ERRCODE = 'LQ001';
  END IF;
  IF llmreq_open_books(p_now) THEN
    PERFORM llmreq_wake(p_now);
  END IF;
  PERFORM llmreq_heed_signals(p_now);
  RETURN llmreq_due_lanes(v_providers, greatest(p_limit, 20), p_now);  -- one that is due may have nothing to give
END
$$;

-- llmreq_visit(worker, due row, lane row, provider's row, limit, budgeted, skip, now) → the claimed requests of one lane
-- The caller has locked both lanes' rows; `p` holds the limits of all the provider's lanes and is NULL where there are none. `d` is NULL
-- when the lane was visited a moment ago. Decides when the lane is visited next.
CREATE OR REPLACE FUNCTION llmreq_visit(
  p_worker bigint, d llm_due, l llm_lanes, p llm_lanes, p_limit integer, p_budgeted boolean, p_skip uuid[], p_now timestamptz
)
RETURNS TABLE (
  id uuid, claim_seq integer, claimed_at timestamptz, lane text, tenant_id text, attempt smallint, max_output_tokens integer,
  priced boolean, documented boolean
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
  v_taken integer := 0;
  c record;
BEGIN
  IF (d).behind THEN
    DELETE FROM llm_marks m WHERE m.lane = l.lane;
  END IF;
  l := llmreq_filled(l, p_now);
  IF p.lane IS NOT NULL THEN
    p := llmreq_filled(p, p_now);
  END IF;
  SELECT x.picked, x.next_at INTO c FROM llmreq_choose(l, p, d, p_limit, p_skip, p_now) x;
  IF c.picked <> '{}' THEN
    RETURN QUERY SELECT * FROM llmreq_take(p_worker, l, p, c.picked, p_budgeted, p_now);
    GET DIAGNOSTICS v_taken = ROW_COUNT;
  END IF;
  IF (d).lane IS NOT NULL THEN
    PERFORM llmreq_reschedule(d, c.next_at, v_taken > 0, p_now);
  END IF;
END
$$;

-- llmreq_choose(lane row, provider's row, due row, limit, skip, now) → (picked: the rows to take, next_at: when the lane is worth the
-- next visit, where it has nothing to give now; NULL: at the next poll)
CREATE OR REPLACE FUNCTION llmreq_choose(
  l llm_lanes, p llm_lanes, d llm_due, p_limit integer, p_skip uuid[], p_now timestamptz,
  OUT picked llmreq_picked[], OUT next_at timestamptz
)
LANGUAGE plpgsql
AS $$
DECLARE
  v_room integer := least(p_limit, llmreq_room(l, p_now), CASE WHEN p.lane IS NOT NULL THEN llmreq_room(p, p_now) END);
  v_keys llmreq_key[];
BEGIN
  picked := '{}';
  IF v_room <= 0 THEN
    next_at := greatest(llmreq_opens_at(l, p_now), CASE WHEN p.lane IS NOT NULL THEN llmreq_opens_at(p, p_now) END);
    RETURN;
  END IF;
  -- On its own, because it may write down where it looked.
  v_keys := ARRAY(SELECT k FROM llmreq_pending_keys(l.lane, l.tenant_cursor, least(greatest(v_room, 20), 200), p_now) k);
  IF v_keys = '{}' OR (v_keys[1]).tenant_id IS NULL THEN
    next_at := llmreq_next_visit(d, (v_keys[1]).low, p_now);
    RETURN;
  END IF;
  picked := ARRAY(SELECT k FROM llmreq_pick(
    l, v_keys, v_room + cardinality(p_skip), coalesce(least(l.token_level, p.token_level), 'Infinity'),
    coalesce(least(l.input_level, p.input_level), 'Infinity'), coalesce(least(l.output_level, p.output_level), 'Infinity'), p_now) k);
  IF p_skip <> '{}' THEN
    picked := ARRAY(SELECT k FROM unnest(picked) k WHERE k.id <> ALL (p_skip) LIMIT v_room);
  END IF;
  IF picked = '{}' THEN
    next_at := llmreq_next_visit(d, NULL, p_now);
  END IF;
END
$$;
