-- llmreq_report(kind, subject, sqlstate)
-- One event for what the engine could not do, at most one an hour for the same thing; workers log events. Only the SQLSTATE: an error's
-- own words may repeat a prompt.
CREATE OR REPLACE FUNCTION llmreq_report(p_kind text, p_subject text, p_sqlstate text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO llm_events (created_at, kind, subject, message, details)
  SELECT llmreq_now(), p_kind, p_subject, format('the database refused it: SQLSTATE %s', p_sqlstate), jsonb_build_object('sqlstate', p_sqlstate)
  WHERE NOT EXISTS (
    SELECT FROM llm_events e WHERE e.kind = p_kind AND e.subject = p_subject AND e.created_at > llmreq_now() - interval '1 hour');
END
$$;
