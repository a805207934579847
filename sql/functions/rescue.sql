-- llmreq_rescue(limit) → requests handed on
-- Takes the requests of dead workers and gives them back to the queue. Any worker may run it at any time.
--
-- Guarantees
--   A call whose outcome will never be known is booked as lost, at its upper bound, before anyone can claim its request again
--   (invariant 3). Should its worker answer after all, llmreq_finish replaces that booking.
--   A crash is not an attempt. But a request whose worker dies three times over it is failed as poisoned: one bad prompt
--   cannot kill the fleet.
--   claim_seq stays: only a claim moves it, so a late answer to an unclaimed request can still be adopted.
--   While nobody beats nobody is dead: after an outage the first heartbeat gives every worker its lease anew (llmreq_beat_again), so one
--   that stayed alive loses nothing, however long the database was away.
--   A request that cannot be moved, as where somebody's trigger refuses it, stays and is reported; the others go on.
-- Races
--   The dead worker's row is locked before its requests and deleted after them, in later turns if there are many; its
--   heartbeat waits for that lock and then learns that it is dead. Requests without any worker row are swept too.
CREATE OR REPLACE FUNCTION llmreq_rescue(p_limit integer DEFAULT 500) RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '1s' SET llmreq.engine = 'on'
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_worker record;
  v_total integer := 0;
BEGIN
  IF NOT llmreq_fleet_beats(v_now) THEN
    RETURN 0;
  END IF;
  FOR v_worker IN
    SELECT w.id FROM llm_workers w
    WHERE w.state = 'dead' OR w.lease_until <= v_now
    ORDER BY random() LIMIT 20
    FOR UPDATE SKIP LOCKED
  LOOP
    v_total := v_total + llmreq_rescue_worker(v_worker.id, p_limit - v_total);
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
LANGUAGE plpgsql
SET lock_timeout = '1s' SET llmreq.engine = 'on'
AS $$
DECLARE
  v_worker bigint;
  v_total integer := 0;
BEGIN
  FOR v_worker IN
    SELECT DISTINCT r.worker_id FROM llm_requests r
    WHERE r.status = 'processing' AND NOT EXISTS (SELECT FROM llm_workers w WHERE w.id = r.worker_id)
  LOOP
    v_total := v_total + llmreq_rescue_worker(v_worker, p_limit - v_total);
    EXIT WHEN v_total >= p_limit;
  END LOOP;
  RETURN v_total;
END
$$;

-- llmreq_rescue_worker(worker, limit) → requests handed on
-- All at once; if that is refused, one by one, so that one request cannot hold up the others.
CREATE OR REPLACE FUNCTION llmreq_rescue_worker(p_worker bigint, p_limit integer) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan SET llmreq.engine = 'on'  -- as in llmreq_claim
AS $$
DECLARE
  v_ids uuid[] := ARRAY(
    SELECT r.id FROM llm_requests r
    WHERE r.worker_id IS NOT DISTINCT FROM p_worker AND r.status = 'processing' LIMIT p_limit);
  v_id uuid;
  v_count integer := 0;
BEGIN
  IF v_ids = '{}' THEN
    RETURN 0;
  END IF;
  BEGIN
    v_count := llmreq_rescue_requests(p_worker, v_ids);
    SET CONSTRAINTS ALL IMMEDIATE;  -- what a deferred trigger would raise at the commit is raised here
    SET CONSTRAINTS ALL DEFERRED;
    RETURN v_count;
  EXCEPTION WHEN OTHERS THEN
    v_count := 0;
  END;
  PERFORM set_config('lock_timeout', '20ms', true);  -- all together have waited already
  FOREACH v_id IN ARRAY v_ids LOOP
    BEGIN
      v_count := v_count + llmreq_rescue_requests(p_worker, ARRAY[v_id]);
      SET CONSTRAINTS ALL IMMEDIATE;
      SET CONSTRAINTS ALL DEFERRED;
    EXCEPTION WHEN OTHERS THEN
      PERFORM llmreq_report('rescue_refused', v_id::text, SQLSTATE) WHERE SQLSTATE <> '55P03';
    END;
  END LOOP;
  RETURN v_count;
END
$$;

-- llmreq_rescue_requests(worker, ids) → requests handed on
-- Books their calls as lost and moves them on. What somebody else holds is left to the next turn.
CREATE OR REPLACE FUNCTION llmreq_rescue_requests(p_worker bigint, p_ids uuid[]) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_held llm_requests[] := ARRAY(
    SELECT r FROM llm_requests r
    WHERE r.id = ANY (p_ids) AND r.worker_id IS NOT DISTINCT FROM p_worker AND r.status = 'processing'
    ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED);
  v_parents uuid[];
BEGIN
  IF v_held = '{}' THEN
    RETURN 0;
  END IF;
  PERFORM llmreq_book_lost(ARRAY(SELECT llmreq_as_lost_call(h) FROM unnest(v_held) h),
                           'its worker died during the call: booked at the most it can have cost', v_now);
  UPDATE llm_requests q
  SET status = n.next, rescues = least(q.rescues, 30000) + 1, worker_id = NULL, hold_usd = NULL, hold_tokens = NULL,
      unpriced = false, held_input_tokens = NULL, held_output_tokens = NULL, cancel_requested_at = NULL,
      cost_usd = q.cost_usd + CASE WHEN NOT q.unpriced THEN q.hold_usd END, updated_at = v_now,
      completed_at = CASE WHEN n.next <> 'pending' THEN v_now END,
      error_code = CASE WHEN n.next = 'failed' THEN 'poisoned' ELSE q.error_code END,
      error_message = CASE WHEN n.next = 'failed'
        THEN 'its worker died during this request three times: look at the request, then llmreq retry' ELSE q.error_message END
  FROM (SELECT h.id, CASE WHEN h.cancel_requested_at IS NOT NULL THEN 'cancelled'
                          WHEN h.rescues >= 2 THEN 'failed' ELSE 'pending' END AS next FROM unnest(v_held) h) n
  WHERE q.id = n.id AND q.id = ANY (p_ids);
  v_parents := ARRAY(SELECT DISTINCT coalesce(h.parent_id, h.id) FROM unnest(v_held) h WHERE h.parent_id IS NOT NULL OR h.pages IS NOT NULL);
  IF v_parents <> '{}' THEN
    PERFORM llmreq_turn_pages(v_parents);
  END IF;
  RETURN cardinality(v_held);
END
$$;
