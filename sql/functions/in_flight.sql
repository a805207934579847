-- What hand-made SQL may not do to the queue. A row in flight keeps what its claim took, and only the engine changes a status
-- (invariant 13): else lanes and budgets would hold for ever what nobody gives back. The engine's own functions say that they are it by
-- the setting llmreq.engine; `SET llmreq.restore = on` opens the door for whoever brings back a dump.

CREATE OR REPLACE FUNCTION llmreq_before_by_hand() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF coalesce(current_setting('llmreq.restore', true), '') = 'on' THEN
    RETURN NEW;
  ELSIF NEW.status IS DISTINCT FROM OLD.status THEN
    RAISE EXCEPTION 'the status of request % is changed by llmreq only', OLD.id USING ERRCODE = 'LQ007',
      HINT = 'llmreq_cancel(id) ends it, llmreq_retry(id) begins it again.';
  END IF;
  RAISE EXCEPTION 'request % is being called: what it asks, whose it is and what it holds cannot change now', OLD.id
    USING ERRCODE = 'LQ007', HINT = 'Wait until it has ended, or llmreq_cancel(id).';
END
$$;

-- Its name puts it before the triggers that may change a status themselves.
CREATE OR REPLACE TRIGGER llmreq_before_by_hand
  BEFORE UPDATE OF id, status, tenant_id, agent_id, task_type, kind, run_id, parent_id, page, lane, provider, model, claim_seq, claimed_at,
                   worker_id, attempts, hold_usd, hold_tokens, unpriced, held_input_tokens, held_output_tokens, budget_id, messages,
                   content, response_schema, allow_text, tools, tool_choice, params, agent_name, agent_version, agent_ref
  ON llm_requests FOR EACH ROW
  WHEN (current_setting('llmreq.engine', true) IS DISTINCT FROM 'on'
        AND (NEW.status <> OLD.status OR OLD.status = 'processing' AND
             (NEW.id, NEW.tenant_id, NEW.agent_id, NEW.task_type, NEW.kind, NEW.run_id, NEW.parent_id, NEW.page, NEW.lane, NEW.provider,
              NEW.model, NEW.claim_seq, NEW.claimed_at, NEW.worker_id, NEW.attempts, NEW.hold_usd, NEW.hold_tokens, NEW.unpriced,
              NEW.held_input_tokens, NEW.held_output_tokens, NEW.budget_id, NEW.messages, NEW.content, NEW.response_schema,
              NEW.allow_text, NEW.tools, NEW.tool_choice, NEW.params, NEW.agent_name, NEW.agent_version, NEW.agent_ref)
             IS DISTINCT FROM
             (OLD.id, OLD.tenant_id, OLD.agent_id, OLD.task_type, OLD.kind, OLD.run_id, OLD.parent_id, OLD.page, OLD.lane, OLD.provider,
              OLD.model, OLD.claim_seq, OLD.claimed_at, OLD.worker_id, OLD.attempts, OLD.hold_usd, OLD.hold_tokens, OLD.unpriced,
              OLD.held_input_tokens, OLD.held_output_tokens, OLD.budget_id, OLD.messages, OLD.content, OLD.response_schema,
              OLD.allow_text, OLD.tools, OLD.tool_choice, OLD.params, OLD.agent_name, OLD.agent_version, OLD.agent_ref)))
  EXECUTE FUNCTION llmreq_before_by_hand();

-- A row that is deleted while it is called: its call is booked as lost, from the row as its claim left it, and what it held is given
-- back; its answer corrects the booking. The keys of deleted rows may be used again, and their documents are looked at.
CREATE OR REPLACE FUNCTION llmreq_after_delete() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET llmreq.engine = 'on'
AS $$
DECLARE
  v_calls llmreq_lost_call[] := ARRAY(SELECT llmreq_as_lost_call(d) FROM deleted d WHERE d.status = 'processing' ORDER BY d.id);
  v_parents uuid[] := ARRAY(SELECT DISTINCT d.parent_id FROM deleted d WHERE d.parent_id IS NOT NULL);
BEGIN
  IF v_calls <> '{}' THEN
    PERFORM llmreq_book_lost(v_calls, 'its request was deleted during the call: booked at the most it can have cost', llmreq_now());
  END IF;
  DELETE FROM llm_dedupe_keys k USING deleted d WHERE d.dedupe_key IS NOT NULL AND k.tenant_id = d.tenant_id AND k.dedupe_key = d.dedupe_key;
  IF v_parents <> '{}' THEN
    PERFORM llmreq_turn_pages(ARRAY(
      SELECT r.id FROM llm_requests r WHERE r.id = ANY (v_parents) AND r.status NOT IN ('completed', 'failed', 'cancelled')));
  END IF;
  RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER llmreq_after_delete AFTER DELETE ON llm_requests
  REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION llmreq_after_delete();

CREATE OR REPLACE FUNCTION llmreq_before_truncate() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
  v_calls llmreq_lost_call[] := ARRAY(SELECT llmreq_as_lost_call(r) FROM llm_requests r WHERE r.status = 'processing' ORDER BY r.id);
BEGIN
  IF v_calls <> '{}' THEN
    PERFORM llmreq_book_lost(v_calls, 'its request was deleted during the call: booked at the most it can have cost', llmreq_now());
  END IF;
  DELETE FROM llm_dedupe_keys;
  RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER llmreq_before_truncate BEFORE TRUNCATE ON llm_requests
  FOR EACH STATEMENT EXECUTE FUNCTION llmreq_before_truncate();
