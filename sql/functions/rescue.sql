-- llmreq_rescue(limit) → requests handed on
-- Takes the requests of dead workers and gives them back to the queue. Any worker may run it at any time.
--
-- Guarantees
--   A call whose outcome will never be known is booked as lost, at its upper bound, before anyone can claim its request again
--   (invariant 3). Should its worker answer after all, llmreq_finish replaces that booking.
--   A crash is not an attempt. But a request whose worker dies three times over it is failed as poisoned: one bad prompt
--   cannot kill the fleet.
--   claim_seq stays: only a claim moves it, so a late answer to an unclaimed request can still be adopted.
-- Races
--   The dead worker's row is locked before its requests and deleted after them, in later turns if there are many; its
--   heartbeat waits for that lock and then learns that it is dead. Requests without any worker row are swept too.
CREATE OR REPLACE FUNCTION llmreq_rescue(p_limit integer DEFAULT 500) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_worker record;
  v_rescued integer;
  v_total integer := 0;
BEGIN
  FOR v_worker IN
    SELECT w.id FROM llm_workers w
    WHERE w.state = 'dead' OR w.lease_until <= v_now
    ORDER BY w.id LIMIT 20
    FOR UPDATE SKIP LOCKED
  LOOP
    v_rescued := llmreq_rescue_worker(v_worker.id, p_limit - v_total);
    v_total := v_total + v_rescued;
    IF EXISTS (SELECT FROM llm_requests r WHERE r.worker_id = v_worker.id AND r.status = 'processing') THEN
      UPDATE llm_workers w SET state = 'dead' WHERE w.id = v_worker.id AND w.state <> 'dead';
    ELSE
      DELETE FROM llm_workers w WHERE w.id = v_worker.id;
    END IF;
    EXIT WHEN v_total >= p_limit;
  END LOOP;
  RETURN v_total;
END
$$;

-- llmreq_sweep_orphans(limit) → requests handed on
-- Requests whose worker has no row at all, as after a hand-made DELETE or a restored dump.
CREATE OR REPLACE FUNCTION llmreq_sweep_orphans(p_limit integer DEFAULT 500) RETURNS integer
LANGUAGE sql
AS $$
  SELECT coalesce(sum(llmreq_rescue_worker(o.worker_id, p_limit)), 0)::integer
  FROM (
    SELECT DISTINCT r.worker_id FROM llm_requests r
    WHERE r.status = 'processing' AND r.worker_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM llm_workers w WHERE w.id = r.worker_id)
  ) o
$$;

-- llmreq_rescue_worker(worker, limit) → requests handed on
CREATE OR REPLACE FUNCTION llmreq_rescue_worker(p_worker bigint, p_limit integer) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan  -- as in llmreq_claim
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_count integer;
  v_changes json;
  v_parents uuid[];
BEGIN
  LOCK TABLE llm_budgets IN ROW EXCLUSIVE MODE;  -- as in llmreq_finish
  WITH held AS MATERIALIZED (
    SELECT r.id, r.lane, r.claim_seq, r.claimed_at, r.worker_id, r.attempts, r.hold_usd, r.hold_tokens, r.unpriced,
           CASE WHEN NOT r.unpriced THEN r.hold_usd END AS lost_usd, CASE WHEN r.unpriced THEN r.hold_usd END AS ceiling_usd, r.estimated_tokens, r.tenant_id, r.agent_id,
           r.task_type, r.kind, r.run_id, r.parent_id, r.pages, r.rescues,
           CASE WHEN r.cancel_requested_at IS NOT NULL THEN 'cancelled'
                WHEN r.rescues >= 2 THEN 'failed' ELSE 'pending' END AS next
    FROM llm_requests r
    WHERE r.worker_id = p_worker AND r.status = 'processing'
    ORDER BY r.id LIMIT p_limit
    FOR NO KEY UPDATE SKIP LOCKED
  ), booked AS (
    INSERT INTO llm_attempts (
      request_id, claim_seq, claimed_at, settled_at, worker_id, estimated_tokens, attempt, accepted, run_id, parent_id,
      cost_usd, cost_basis, outcome, tenant_id, agent_id, task_type, kind, lane, provider, model, error_message,
      ceiling_usd, bound_tokens)
    SELECT h.id, h.claim_seq, h.claimed_at, v_now, h.worker_id, h.estimated_tokens, h.attempts, false, h.run_id, h.parent_id,
           h.lost_usd, 'upper_bound', 'lost', h.tenant_id, h.agent_id, h.task_type, h.kind, h.lane,
           split_part(h.lane, '/', 1), substr(h.lane, strpos(h.lane, '/') + 1),
           'its worker died during the call: booked at the most it can have cost', h.ceiling_usd, h.hold_tokens
    FROM held h
    ON CONFLICT DO NOTHING
  ), moved AS (
    UPDATE llm_requests q
    SET status = h.next, rescues = q.rescues + 1, worker_id = NULL, hold_usd = NULL, hold_tokens = NULL,
        unpriced = false, held_input_tokens = NULL,
        held_output_tokens = NULL, cancel_requested_at = NULL,
        cost_usd = q.cost_usd + h.lost_usd, updated_at = v_now,
        completed_at = CASE WHEN h.next <> 'pending' THEN v_now END,
        error_code = CASE WHEN h.next = 'failed' THEN 'poisoned' ELSE q.error_code END,
        error_message = CASE WHEN h.next = 'failed'
          THEN 'its worker died during this request three times: look at the request, then llmreq retry' ELSE q.error_message END
    FROM held h WHERE q.id = h.id
  ), lanes AS (
    -- Tokens that a lost call held do not come back: the provider may have counted them.
    UPDATE llm_lanes l SET in_flight = greatest(0, l.in_flight - n.held), updated_at = v_now
    FROM (
      SELECT k.lane, (SELECT count(*) FROM held h WHERE k.lane IN (h.lane, llmreq_provider_lane(h.lane)))::integer AS held
      FROM llm_lanes k
      WHERE k.lane IN (SELECT h.lane FROM held h UNION SELECT llmreq_provider_lane(h.lane) FROM held h)
      ORDER BY k.lane FOR NO KEY UPDATE
    ) n
    WHERE l.lane = n.lane
    RETURNING l.lane
  ), rolled_up AS (
    INSERT INTO llm_usage_daily AS u (
      day, tenant_id, agent_id, task_type, kind, provider, model, run_id, calls, lost_calls, unpriced_calls, bound_tokens, cost_usd,
      upper_bound_usd, ceiling_usd)
    SELECT (h.claimed_at AT TIME ZONE 'UTC')::date, h.tenant_id, h.agent_id, h.task_type, h.kind, split_part(h.lane, '/', 1),
           substr(h.lane, strpos(h.lane, '/') + 1), coalesce(h.run_id, '00000000-0000-0000-0000-000000000000'), count(*), count(*),
           count(*) - count(h.lost_usd), coalesce(sum(h.hold_tokens), 0), coalesce(sum(h.lost_usd), 0), coalesce(sum(h.lost_usd), 0),
           coalesce(sum(h.ceiling_usd), 0)
    FROM held h
    WHERE (SELECT count(*) FROM lanes) >= 0  -- after its lane's lock, as in llmreq_finish
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ON CONFLICT ON CONSTRAINT llm_usage_daily_pkey DO UPDATE
    SET calls = u.calls + EXCLUDED.calls, lost_calls = u.lost_calls + EXCLUDED.lost_calls,
        unpriced_calls = u.unpriced_calls + EXCLUDED.unpriced_calls, bound_tokens = u.bound_tokens + EXCLUDED.bound_tokens,
        cost_usd = u.cost_usd + EXCLUDED.cost_usd, upper_bound_usd = u.upper_bound_usd + EXCLUDED.upper_bound_usd,
        ceiling_usd = u.ceiling_usd + EXCLUDED.ceiling_usd
  )
  SELECT count(*), json_agg(json_build_object(
           'tenant_id', h.tenant_id, 'agent_id', h.agent_id, 'task_type', h.task_type, 'lane', h.lane, 'run_id', h.run_id,
           'claimed_at', h.claimed_at, 'usd', h.hold_usd, 'tokens', h.hold_tokens, 'held_usd', h.hold_usd, 'held_tokens', h.hold_tokens)),
         array_agg(DISTINCT coalesce(h.parent_id, h.id)) FILTER (WHERE h.parent_id IS NOT NULL OR h.pages IS NOT NULL)
  INTO v_count, v_changes, v_parents FROM held h;
  IF v_count > 0 THEN
    PERFORM llmreq_settle_budgets(v_changes, v_now);
  END IF;
  IF v_parents IS NOT NULL THEN
    PERFORM llmreq_turn_pages(v_parents);
  END IF;
  RETURN v_count;
END
$$;
