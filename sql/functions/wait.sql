-- llmreq_wait(id, timeout) → the request's row
-- Waits until the request has ended, at most `timeout`, and returns its row as it then is. Looks every 50 ms, later every second;
-- each look sees what others have committed, so it needs READ COMMITTED, and the INSERT must be committed before.
CREATE OR REPLACE FUNCTION llmreq_wait(p_id uuid, p_timeout interval DEFAULT '60 seconds') RETURNS llm_requests
LANGUAGE plpgsql
AS $$
DECLARE
  v_until timestamptz := clock_timestamp() + p_timeout;
  v_pause double precision := 0.05;
  v_mine boolean;
  r llm_requests;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'llmreq_wait needs READ COMMITTED: a % transaction never sees the answer arrive',
      current_setting('transaction_isolation') USING ERRCODE = 'LQ004';
  END IF;
  SELECT q.status = 'pending' AND llmreq_uncommitted(q.xmin) INTO v_mine FROM llm_requests q WHERE q.id = p_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'request % does not exist', p_id USING ERRCODE = 'LQ005';
  ELSIF v_mine THEN
    RAISE EXCEPTION 'request % was inserted in this very transaction: commit before llmreq_wait', p_id USING ERRCODE = 'LQ004';
  END IF;
  LOOP
    SELECT q.* INTO r FROM llm_requests q WHERE q.id = p_id;
    EXIT WHEN NOT FOUND OR r.status IN ('completed', 'failed', 'cancelled') OR clock_timestamp() >= v_until;
    PERFORM pg_sleep(least(v_pause, greatest(0, extract(epoch FROM v_until - clock_timestamp()))));
    v_pause := least(1, v_pause * 1.2);
  END LOOP;
  RETURN r;
END
$$;

-- llmreq_uncommitted(xmin) → boolean
-- Whether a row that this session sees was written by its own open transaction, subtransactions included.
CREATE OR REPLACE FUNCTION llmreq_uncommitted(p_xmin xid) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_next numeric := pg_snapshot_xmax(pg_current_snapshot())::text::numeric;
  v_xid numeric := div(v_next, 4294967296) * 4294967296 + p_xmin::text::numeric;
BEGIN
  IF v_xid >= v_next AND v_xid - v_next < 2147483648 THEN
    RETURN true;  -- begun after this statement's snapshot and visible all the same: our own subtransaction
  ELSIF v_xid > v_next THEN
    v_xid := v_xid - 4294967296;  -- from before the counter's last wrap
  END IF;
  RETURN coalesce(pg_xact_status(v_xid::text::xid8) = 'in progress', false);
END
$$;
