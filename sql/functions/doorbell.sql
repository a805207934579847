-- The doorbell: a NOTIFY on channel llmreq_doorbell when rows are inserted while some worker is idle, so that it need not wait for
-- its next poll. Off unless llmreq_set_doorbell(true) was called: a producer pays nothing for it (invariant 9). A busy fleet causes no
-- NOTIFY at all. The poll stays the base: behind PgBouncer in transaction mode LISTEN hears nothing, and nothing is lost.

CREATE OR REPLACE FUNCTION llmreq_ring_doorbell() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF EXISTS (SELECT FROM llm_workers w WHERE w.idle AND w.state = 'alive' AND w.lease_until > llmreq_now()) THEN
    NOTIFY llmreq_doorbell;
  END IF;
  RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER llmreq_ring_doorbell AFTER INSERT ON llm_requests
  FOR EACH STATEMENT EXECUTE FUNCTION llmreq_ring_doorbell();

-- llmreq_set_doorbell(on)
-- For the table's owner. It takes a short lock on llm_requests; workers notice within a minute.
CREATE OR REPLACE FUNCTION llmreq_set_doorbell(p_on boolean) RETURNS void
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
  IF p_on THEN
    ALTER TABLE llm_requests ENABLE TRIGGER llmreq_ring_doorbell;
  ELSE
    ALTER TABLE llm_requests DISABLE TRIGGER llmreq_ring_doorbell;
  END IF;
  INSERT INTO llmreq_meta (key, value) VALUES ('doorbell', CASE WHEN p_on THEN 'on' ELSE 'off' END)
  ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, updated_at = llmreq_now();
END
$$;

-- llmreq_has_doorbell() → boolean
CREATE OR REPLACE FUNCTION llmreq_has_doorbell() RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN coalesce((SELECT m.value = 'on' FROM llmreq_meta m WHERE m.key = 'doorbell'), false);
END
$$;

-- llmreq_set_idle(worker, idle)
CREATE OR REPLACE FUNCTION llmreq_set_idle(p_worker bigint, p_idle boolean) RETURNS void
LANGUAGE sql
AS $$
  UPDATE llm_workers w SET idle = p_idle WHERE w.id = p_worker AND w.idle <> p_idle
$$;

-- A new version of this file leaves the bell as it was.
SELECT llmreq_set_doorbell(llmreq_has_doorbell());
