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
BEGIN
  WITH held AS MATERIALIZED (
    SELECT r.id, r.lane, r.claim_seq, r.claimed_at, r.worker_id, r.attempts, r.hold_usd, r.estimated_tokens, r.tenant_id, r.agent_id,
           r.task_type, r.kind, r.run_id, r.parent_id, r.rescues,
           CASE WHEN r.cancel_requested_at IS NOT NULL THEN 'cancelled'
                WHEN r.rescues >= 2 THEN 'failed' ELSE 'pending' END AS next
    FROM llm_requests r
    WHERE r.worker_id = p_worker AND r.status = 'processing'
    ORDER BY r.id LIMIT p_limit
    FOR NO KEY UPDATE SKIP LOCKED
  ), booked AS (
    INSERT INTO llm_attempts (
      request_id, claim_seq, claimed_at, settled_at, worker_id, estimated_tokens, attempt, accepted, run_id, parent_id,
      cost_usd, cost_basis, outcome, tenant_id, agent_id, task_type, kind, lane, provider, model, error_message)
    SELECT h.id, h.claim_seq, h.claimed_at, v_now, h.worker_id, h.estimated_tokens, h.attempts, false, h.run_id, h.parent_id,
           h.hold_usd, 'upper_bound', 'lost', h.tenant_id, h.agent_id, h.task_type, h.kind, h.lane,
           split_part(h.lane, '/', 1), substr(h.lane, strpos(h.lane, '/') + 1),
           'its worker died during the call: booked at the most it can have cost'
    FROM held h
    ON CONFLICT DO NOTHING
  ), moved AS (
    UPDATE llm_requests q
    SET status = h.next, rescues = q.rescues + 1, worker_id = NULL, hold_usd = NULL, held_input_tokens = NULL,
        held_output_tokens = NULL, cancel_requested_at = NULL,
        cost_usd = q.cost_usd + h.hold_usd, updated_at = v_now,
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
  )
  SELECT count(*) INTO v_count FROM held;
  RETURN v_count;
END
$$;
