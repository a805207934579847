-- llmreq_register(name, version, providers, unusable, concurrency, lease) → worker id
-- One row per process boot. The id comes from a sequence and is never used again: a host or pod name is only a label, so a
-- restarted worker can never renew its dead predecessor's lease.
--   providers  what this worker can call: a provider's name, or one lane ('local/rules')
--   unusable   {provider: why not}, e.g. {"openai": "no key: set OPENAI_API_KEY"}
CREATE OR REPLACE FUNCTION llmreq_register(
  p_name text, p_version text, p_providers text[], p_unusable jsonb, p_concurrency integer, p_lease interval
) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
  v_id bigint;
BEGIN
  PERFORM llmreq_beat_again(llmreq_now());
  INSERT INTO llm_workers (name, version, providers, unusable, concurrency, lease_seconds, lease_until)
  VALUES (p_name, p_version, p_providers, p_unusable, p_concurrency, extract(epoch FROM p_lease), llmreq_now() + p_lease)
  RETURNING id INTO v_id;
  RETURN v_id;
END
$$;

-- llmreq_retire(worker) → boolean
-- A worker's own clean end. True when it left nothing behind; else its row stays, and rescue hands its requests on at once.
CREATE OR REPLACE FUNCTION llmreq_retire(p_worker bigint) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
  IF EXISTS (SELECT FROM llm_requests WHERE worker_id = p_worker AND status = 'processing') THEN
    UPDATE llm_workers SET lease_until = llmreq_now(), state = 'dead' WHERE id = p_worker;
    RETURN false;
  END IF;
  DELETE FROM llm_workers WHERE id = p_worker;
  RETURN true;
END
$$;
