-- llmreq_heartbeat(worker, in_flight, state) → (alive, cancelled)
-- Renews the worker's lease and brings back which of its calls somebody wants cancelled.
-- alive = false: the row is gone or was declared dead, and its requests may be running elsewhere. The worker must cancel its
-- calls and claim under a new identity. A lease that ran out but that nobody acted on yet is renewed: the row lock decides.
-- Called twice a second for the cancellations; the row itself is written only every sixth of a lease.
CREATE OR REPLACE FUNCTION llmreq_heartbeat(p_worker bigint, p_in_flight integer, p_state text DEFAULT 'alive')
RETURNS TABLE (alive boolean, cancelled uuid[])
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_worker llm_workers;
BEGIN
  SELECT * INTO v_worker FROM llm_workers w WHERE w.id = p_worker;
  alive := v_worker.id IS NOT NULL AND v_worker.state <> 'dead';
  IF alive AND (v_worker.state <> p_state
                OR v_now - v_worker.heartbeat_at >= make_interval(secs => v_worker.lease_seconds / 6)) THEN
    PERFORM llmreq_beat_again(v_now);
    UPDATE llm_workers w
    SET heartbeat_at = v_now, lease_until = v_now + make_interval(secs => w.lease_seconds),
        in_flight = p_in_flight, state = p_state
    WHERE w.id = p_worker AND w.state <> 'dead';
    alive := FOUND;
  END IF;
  cancelled := ARRAY(
    SELECT r.id FROM llm_requests r
    WHERE r.worker_id = p_worker AND r.status = 'processing' AND r.cancel_requested_at IS NOT NULL);
  RETURN NEXT;
END
$$;

-- llmreq_fleet_beats(now) → whether some worker has beaten within half its lease
-- If none has, the database was away, or they all are: who is dead cannot be told.
CREATE OR REPLACE FUNCTION llmreq_fleet_beats(p_now timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM llm_workers w
    WHERE w.state <> 'dead' AND w.heartbeat_at > p_now - make_interval(secs => w.lease_seconds / 2));
END
$$;

-- llmreq_beat_again(now)
-- The first sign of life after nobody beat: every worker's lease begins anew, as if all had beaten when the database came back.
-- Those that are really dead are found one lease later. And every lane with pending rows is looked at: while nobody was there,
-- inserts left no signals.
CREATE OR REPLACE FUNCTION llmreq_beat_again(p_now timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  IF NOT llmreq_fleet_beats(p_now) THEN
    INSERT INTO llm_signals (lane, due_at, behind) SELECT p.lane, p_now, true FROM llmreq_pending_lanes() p;
    UPDATE llm_workers w SET lease_until = p_now + make_interval(secs => w.lease_seconds)
    WHERE w.id = ANY (ARRAY(SELECT x.id FROM llm_workers x WHERE x.state <> 'dead' ORDER BY x.id FOR NO KEY UPDATE SKIP LOCKED));
  END IF;
END
$$;
