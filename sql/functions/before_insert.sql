-- The trigger before every INSERT into llm_requests, so that a plain INSERT in any language is a whole request.
-- It sets the lane, the estimates and nothing that takes a lock (invariant 9). A row that can never be sent is accepted and
-- ends failed at once with one clear line: one bad row of a COPY does not cost the producer the other 9,999.
CREATE OR REPLACE FUNCTION llmreq_before_insert() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_restores boolean := coalesce(current_setting('llmreq.restore', true), '') = 'on';
  v_problem text;
BEGIN
  -- Inserting twice is inserting once, also while the first is not committed yet. A key whose request is gone may be used again.
  IF NEW.dedupe_key IS NOT NULL AND octet_length(NEW.dedupe_key) <= 2000 AND octet_length(NEW.tenant_id) <= 500 THEN
    INSERT INTO llm_dedupe_keys (tenant_id, dedupe_key) VALUES (NEW.tenant_id, NEW.dedupe_key) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
      IF EXISTS (SELECT FROM llm_requests r WHERE r.tenant_id = NEW.tenant_id AND r.dedupe_key = NEW.dedupe_key) THEN
        RETURN NULL;
      END IF;
      -- Of two that use a key left behind by an edit one waits here.
      PERFORM FROM llm_dedupe_keys k WHERE k.tenant_id = NEW.tenant_id AND k.dedupe_key = NEW.dedupe_key FOR UPDATE;
      IF EXISTS (SELECT FROM llm_requests r WHERE r.tenant_id = NEW.tenant_id AND r.dedupe_key = NEW.dedupe_key) THEN
        RETURN NULL;
      END IF;
    END IF;
  END IF;

  NEW.id := coalesce(NEW.id, llmreq_uuid7());
  IF v_restores AND NEW.status NOT IN ('pending', 'processing') THEN
    RETURN NEW;  -- of a dump
  ELSIF NEW.status <> 'pending' AND NOT v_restores THEN
    RAISE EXCEPTION 'a request begins pending, not %: leave the column out', NEW.status USING ERRCODE = 'LQ008',
      HINT = 'To bring back a dump: SET llmreq.restore = on.';
  END IF;
  -- One look for what only the engine writes: it is hardly ever there.
  IF NEW.claim_seq <> 0 OR NEW.attempts <> 0 OR NEW.rescues <> 0 OR NEW.cost_usd IS DISTINCT FROM 0 OR NEW.unpriced OR NEW.status <> 'pending'
     OR NEW.input_tokens <> 0 OR NEW.output_tokens <> 0 OR NEW.cache_read_tokens <> 0 OR NEW.cache_write_tokens <> 0
     OR NEW.reasoning_tokens <> 0
     OR num_nonnulls(NEW.worker_id, NEW.claimed_at, NEW.completed_at, NEW.published_at, NEW.cancel_requested_at, NEW.wait_reason,
                     NEW.budget_id, NEW.hold_usd, NEW.hold_tokens, NEW.held_input_tokens, NEW.held_output_tokens, NEW.pages,
                     NEW.pages_done, NEW.pages_failed, NEW.pages_lane, NEW.brief, NEW.merge_report, NEW.agent_ref, NEW.response,
                     NEW.parsed_response, NEW.validation_errors, NEW.repairs, NEW.error_code, NEW.error_message,
                     NEW.error_details) > 0 THEN
    NEW := llmreq_as_new(NEW);
  END IF;
  IF NOT v_restores THEN
    NEW.created_at := v_now;
    NEW.updated_at := v_now;
  END IF;
  IF NEW.kind = 'brief' THEN
    NEW.agent_name := coalesce(NEW.agent_name, 'running-brief');
    NEW.task_type := CASE WHEN NEW.task_type = 'general' THEN 'brief' ELSE NEW.task_type END;
    -- Where no model can be had a brief is made by concatenation.
    NEW.on_unavailable := CASE WHEN NEW.on_unavailable = 'wait' THEN 'degrade' ELSE NEW.on_unavailable END;
  END IF;

  IF octet_length(concat(NEW.tenant_id, NEW.agent_id, NEW.task_type, NEW.provider, NEW.model, NEW.agent_name, NEW.dedupe_key)) > 100
     OR strpos(NEW.provider, '/') > 0 OR NEW.scheduled_at NOT BETWEEN '2000-01-01 00:00:00+00' AND v_now + interval '100 years'
     OR NEW.expires_at IS NOT NULL THEN
    NEW.scheduled_at := greatest(NEW.scheduled_at, '2000-01-01 00:00:00+00');
    v_problem := coalesce(llmreq_label_problem(NEW), llmreq_time_problem(NEW));
    IF v_problem IS NOT NULL THEN
      NEW := llmreq_bounded(NEW);
    END IF;
  END IF;
  v_problem := coalesce(v_problem, llmreq_message_problem(NEW.messages, NEW.content),
                        CASE WHEN NEW.provider = 'local' AND NEW.model = 'pages' THEN 'local/pages is the worker''s own: name a model' END);
  IF v_problem IS NOT NULL THEN
    NEW := llmreq_reject(NEW, 'invalid_request', v_problem);
  ELSIF NEW.kind = 'embedding' THEN
    NEW := llmreq_reject(NEW, 'invalid_request', format('kind %L is not served by this version: use chat', NEW.kind));
  ELSE
    IF NEW.agent_name IS NOT NULL THEN
      NEW := llmreq_take_agent(NEW);
    END IF;
    IF NEW.status = 'pending' THEN
      NEW := llmreq_place(NEW);
    END IF;
  END IF;

  NEW := llmreq_prepare(llmreq_measure(NEW, least(coalesce(NEW.estimated_tokens, 0), 1000000000)));
  IF NEW.status = 'pending' THEN
    PERFORM llmreq_signal(NEW.lane, NEW.scheduled_at, v_now, NEW.scheduled_at < v_now - interval '1 s' AND llmreq_is_behind(NEW));
  END IF;
  RETURN NEW;
END
$$;

-- llmreq_as_new(row) → row
-- What only the engine writes begins as it must, whatever the INSERT says (invariant 13).
CREATE OR REPLACE FUNCTION llmreq_as_new(r llm_requests) RETURNS llm_requests
LANGUAGE plpgsql
AS $$
BEGIN
  r.status := 'pending';
  r.claim_seq := 0;
  r.attempts := 0;
  r.rescues := 0;
  r.worker_id := NULL;
  r.claimed_at := NULL;
  r.completed_at := NULL;
  r.published_at := NULL;
  r.cancel_requested_at := NULL;
  r.wait_reason := NULL;
  r.cost_usd := 0;
  r.input_tokens := 0;
  r.output_tokens := 0;
  r.cache_read_tokens := 0;
  r.cache_write_tokens := 0;
  r.reasoning_tokens := 0;
  r.budget_id := NULL;
  r.hold_usd := NULL;
  r.hold_tokens := NULL;
  r.held_input_tokens := NULL;
  r.held_output_tokens := NULL;
  r.unpriced := false;
  r.pages := NULL;
  r.pages_done := NULL;
  r.pages_failed := NULL;
  r.pages_lane := NULL;
  r.brief := NULL;
  r.merge_report := NULL;
  r.agent_ref := NULL;
  r.response := NULL;
  r.parsed_response := NULL;
  r.validation_errors := NULL;
  r.repairs := NULL;
  r.error_code := NULL;
  r.error_message := NULL;
  r.error_details := NULL;
  RETURN r;
END
$$;

-- llmreq_label_problem(row) → text
-- Which label is too long, in one line; NULL when none is. Labels are indexed together, and an index entry must stay below 2,700 bytes.
CREATE OR REPLACE FUNCTION llmreq_label_problem(r llm_requests) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  v_name text;
  v_bytes integer;
BEGIN
  IF octet_length(r.tenant_id) <= 500 AND octet_length(r.agent_id) <= 400 AND octet_length(r.task_type) <= 400
     AND coalesce(octet_length(r.provider), 0) <= 100 AND coalesce(octet_length(r.model), 0) <= 500
     AND coalesce(octet_length(r.agent_name), 0) <= 100 AND coalesce(octet_length(r.dedupe_key), 0) <= 2000
     AND coalesce(strpos(r.provider, '/'), 0) = 0 THEN
    RETURN NULL;
  ELSIF strpos(r.provider, '/') > 0 THEN
    RETURN format('provider %L holds a slash: a provider is named without its model', left(r.provider, 100));
  END IF;
  SELECT x.name, x.bytes INTO v_name, v_bytes
  FROM (VALUES ('tenant_id', octet_length(r.tenant_id), 500), ('agent_id', octet_length(r.agent_id), 400),
               ('task_type', octet_length(r.task_type), 400), ('provider', octet_length(r.provider), 100),
               ('model', octet_length(r.model), 500), ('agent_name', octet_length(r.agent_name), 100),
               ('dedupe_key', octet_length(r.dedupe_key), 2000)) AS x (name, bytes, bound)
  WHERE x.bytes > x.bound LIMIT 1;
  RETURN format('%s has %s bytes, more than a label may have', v_name, v_bytes);
END
$$;

-- llmreq_bounded(row) → row, with labels that can be stored: of a row that is refused for one of them
CREATE OR REPLACE FUNCTION llmreq_bounded(r llm_requests) RETURNS llm_requests
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  r.tenant_id := left(r.tenant_id, 120);
  r.agent_id := left(r.agent_id, 100);
  r.task_type := left(r.task_type, 100);
  r.provider := left(r.provider, 25);
  r.model := left(r.model, 120);
  r.agent_name := left(r.agent_name, 25);
  r.dedupe_key := NULL;
  IF r.scheduled_at > llmreq_now() + interval '100 years' THEN
    r.scheduled_at := llmreq_now();
  END IF;
  IF r.expires_at NOT BETWEEN '2000-01-01 00:00:00+00' AND llmreq_now() + interval '1000 years' THEN
    r.expires_at := NULL;
  END IF;
  RETURN r;
END
$$;

-- llmreq_time_problem(row) → text
CREATE OR REPLACE FUNCTION llmreq_time_problem(r llm_requests) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  IF r.scheduled_at > llmreq_now() + interval '100 years' THEN
    RETURN format('scheduled_at %s never comes: at most 100 years ahead', r.scheduled_at);
  ELSIF r.expires_at NOT BETWEEN '2000-01-01 00:00:00+00' AND llmreq_now() + interval '1000 years' THEN
    RETURN format('expires_at %s is no deadline: leave it out for none', r.expires_at);
  END IF;
  RETURN NULL;
END
$$;

-- llmreq_measure(row, estimate) → row
-- How long a row's input is, in bytes of everything that can reach the provider, and what its call may hold: the tokens its producer
-- counted, else an estimate. `images`, `choices` and `unbounded` say what bytes do not (invariant 12); NULL for most rows.
CREATE OR REPLACE FUNCTION llmreq_measure(r llm_requests, p_estimate bigint) RETURNS llm_requests
LANGUAGE plpgsql
AS $$
DECLARE
  v_input text := concat(r.messages::text, r.content, r.response_schema::text, r.tools::text, r.tool_choice::text, r.params::text);
  v_again integer := coalesce(octet_length(r.response_schema::text), 0);  -- a schema may stand in the prompt, and as a tool or a format
  v_data_bytes bigint := 0;
BEGIN
  r.images := NULL;
  r.unbounded := llmreq_unbounded_param(r.params, r.tools);
  r.choices := CASE WHEN r.params ?| '{n,best_of}' THEN nullif(llmreq_choices(r.params), 1) END;
  IF strpos(r.messages::text, '"type"') > 0 THEN
    SELECT nullif(m.images, 0), m.data_bytes, coalesce(r.unbounded, m.unbounded) INTO r.images, v_data_bytes, r.unbounded
    FROM llmreq_media(r.messages) m;
  END IF;
  IF r.agent_ref IS NOT NULL THEN
    SELECT concat(v_input, a.system_prompt, CASE WHEN r.response_schema IS NULL THEN a.output_schema::text END),
           v_again + CASE WHEN r.response_schema IS NULL THEN coalesce(octet_length(a.output_schema::text), 0) ELSE 0 END
    INTO v_input, v_again
    FROM llm_agents a WHERE a.id = r.agent_ref;
    v_again := v_again + coalesce(octet_length((r.params -> 'labels')::text), 0);  -- an agent's labels stand in its prompt
  END IF;
  -- What may make its tokens dearer.
  r.service_tier := CASE WHEN r.params ? 'service_tier' THEN nullif(llmreq_service_tier(r.params ->> 'service_tier'), 'standard') END;
  r.writes_cache := strpos(v_input, '"cache_control"') > 0 OR coalesce(r.params ?| '{cache_control,prompt_cache_retention,prompt_cache_options}', false);
  r.input_bytes := least(octet_length(v_input)::bigint - v_data_bytes + v_again, 2147483647);
  r.output_cap := llmreq_output_cap(r.params);
  r.estimated_tokens := CASE WHEN p_estimate > 0 THEN p_estimate
    ELSE greatest(1, llmreq_estimate_tokens(v_input) - v_data_bytes / 3) + 1000 * coalesce(r.images, 0) + r.output_cap END;
  RETURN r;
END
$$;

-- llmreq_prepare(row) → row
-- A row that may be too long for one call goes to local/pages first, where a worker counts it exactly and sends it on, cuts it into
-- pages, or has its older turns made a brief (on_overflow). The estimate here is up to a quarter high, so it decides nothing else.
-- pages_lane remembers where it belongs.
CREATE OR REPLACE FUNCTION llmreq_prepare(r llm_requests) RETURNS llm_requests
LANGUAGE plpgsql
AS $$
DECLARE
  v_input bigint := r.estimated_tokens - r.output_cap;
  v_page integer;
BEGIN
  r.pages_lane := NULL;
  IF r.status <> 'pending' OR r.parent_id IS NOT NULL OR r.kind = 'embedding' OR r.input_bytes < 1000 THEN
    RETURN r;
  END IF;
  IF r.agent_ref IS NOT NULL AND r.content IS NOT NULL THEN
    SELECT coalesce(a.context_tokens, a.chunk_tokens) INTO v_page FROM llm_agents a WHERE a.id = r.agent_ref;
  END IF;
  IF v_input > 0.7 * v_page OR v_input > 0.7 * (llmreq_window(r.lane) - r.output_cap) THEN
    r.pages_lane := r.lane;
    r.lane := 'local/pages';
  END IF;
  RETURN r;
END
$$;

-- llmreq_message_problem(messages, content) → text
-- What is wrong with the question, in one line; NULL when nothing is.
CREATE OR REPLACE FUNCTION llmreq_message_problem(p_messages jsonb, p_content text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  m jsonb;
  i bigint;
  v_role text;
BEGIN
  IF p_messages IS NULL THEN
    RETURN CASE WHEN coalesce(p_content, '') = '' THEN 'the request holds no question: set messages, or content' END;
  ELSIF jsonb_typeof(p_messages) <> 'array' THEN
    RETURN format('messages must be a list of {"role","content"}, not %s', jsonb_typeof(p_messages));
  ELSIF jsonb_array_length(p_messages) = 0 THEN
    RETURN 'messages is an empty list: give at least one {"role","content"}';
  END IF;
  FOR m, i IN SELECT e.value, e.ordinality - 1 FROM jsonb_array_elements(p_messages) WITH ORDINALITY e LOOP
    IF jsonb_typeof(m) <> 'object' THEN
      RETURN format('messages[%s] must be {"role","content"}, not %s', i, jsonb_typeof(m));
    END IF;
    v_role := m ->> 'role';
    IF v_role IS NULL THEN
      RETURN format('messages[%s] has no role: use system, developer, user, assistant or tool', i);
    ELSIF v_role NOT IN ('system', 'developer', 'user', 'assistant', 'tool') THEN
      RETURN format('messages[%s].role %L does not exist: use system, developer, user, assistant or tool', i, left(v_role, 40));
    ELSIF coalesce(m -> 'content', 'null') = 'null' AND NOT (v_role = 'assistant' AND m ? 'tool_calls') THEN
      RETURN format('messages[%s] has no content', i);
    ELSIF m ? 'content' AND jsonb_typeof(m -> 'content') NOT IN ('string', 'array', 'null') THEN
      RETURN format('messages[%s].content must be a text or a list of blocks, not %s', i, jsonb_typeof(m -> 'content'));
    ELSIF v_role = 'tool' AND coalesce(m ->> 'tool_call_id', '') = '' THEN
      RETURN format('messages[%s] answers a tool call but names no tool_call_id', i);
    END IF;
  END LOOP;
  RETURN NULL;
END
$$;

-- An edit of a pending row is a new request in the same place: its lane is found anew, and its claim_seq moves, so that an
-- answer to the question as it stood before is not adopted.
CREATE OR REPLACE FUNCTION llmreq_before_edit() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
  v_other_agent boolean := (NEW.agent_name, NEW.agent_version) IS DISTINCT FROM (OLD.agent_name, OLD.agent_version);
  v_problem text := llmreq_label_problem(NEW);
BEGIN
  IF v_problem IS NOT NULL THEN
    RAISE EXCEPTION 'request %: %', OLD.id, v_problem USING ERRCODE = 'LQ009';
  END IF;
  IF v_other_agent THEN
    NEW.agent_ref := NULL;
    IF NEW.agent_name IS NOT NULL THEN
      NEW := llmreq_take_agent(NEW);
    END IF;
  END IF;
  -- A document whose pages are there keeps its lane.
  IF NEW.status = 'pending' AND NEW.pages IS NULL THEN
    IF v_other_agent OR (NEW.provider, NEW.model, NEW.task_type, NEW.complexity, NEW.quality)
                        IS DISTINCT FROM (OLD.provider, OLD.model, OLD.task_type, OLD.complexity, OLD.quality) THEN
      NEW := llmreq_place(NEW);
    ELSE
      NEW.lane := coalesce(OLD.pages_lane, NEW.lane);
    END IF;
  END IF;
  NEW := llmreq_measure(NEW, 0);
  IF NEW.pages IS NULL THEN
    NEW := llmreq_prepare(NEW);
  END IF;
  IF OLD.budget_id IS NOT NULL THEN
    NEW.budget_id := NULL;  -- it may cost less now, or more: the next claim looks again
    NEW.wait_reason := NULL;
    NEW.hold_usd := NULL;
    NEW.hold_tokens := NULL;
    NEW.error_message := NULL;
  END IF;
  NEW.claim_seq := OLD.claim_seq + 1;
  NEW.updated_at := llmreq_now();
  RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER llmreq_before_insert BEFORE INSERT ON llm_requests
  FOR EACH ROW EXECUTE FUNCTION llmreq_before_insert();

-- The WHEN clause keeps the worker's own updates out: they change the status or the claim_seq themselves.
CREATE OR REPLACE TRIGGER llmreq_before_edit
  BEFORE UPDATE OF messages, content, response_schema, allow_text, tools, tool_choice, params, provider, model,
                   task_type, complexity, quality, agent_name, agent_version, tenant_id, agent_id, run_id
  ON llm_requests FOR EACH ROW
  WHEN (OLD.status = 'pending' AND NEW.status = 'pending' AND NEW.claim_seq = OLD.claim_seq)
  EXECUTE FUNCTION llmreq_before_edit();

-- A request whose key is edited takes the new one, so that an INSERT of it meets this transaction as it would meet an INSERT.
CREATE OR REPLACE FUNCTION llmreq_before_key() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO llm_dedupe_keys (tenant_id, dedupe_key) VALUES (NEW.tenant_id, NEW.dedupe_key) ON CONFLICT DO NOTHING;
  RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER llmreq_before_key BEFORE UPDATE OF dedupe_key, tenant_id ON llm_requests FOR EACH ROW
  WHEN (NEW.dedupe_key IS NOT NULL AND (NEW.tenant_id, NEW.dedupe_key) IS DISTINCT FROM (OLD.tenant_id, OLD.dedupe_key))
  EXECUTE FUNCTION llmreq_before_key();
