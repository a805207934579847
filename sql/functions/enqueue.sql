-- llmreq_enqueue(…) → uuid
-- An INSERT with defaults, for those who want a function; in the caller's transaction. With a dedupe_key that exists it returns the
-- request that has it. `p_options` holds any further column of the producer's group, e.g. '{"priority": 1, "quality": "good"}'.
CREATE OR REPLACE FUNCTION llmreq_enqueue(
  p_messages        jsonb   DEFAULT NULL,
  p_content         text    DEFAULT NULL,
  p_response_schema jsonb   DEFAULT NULL,
  p_provider        text    DEFAULT NULL,
  p_model           text    DEFAULT NULL,
  p_tenant_id       text    DEFAULT 'default',
  p_task_type       text    DEFAULT 'general',
  p_dedupe_key      text    DEFAULT NULL,
  p_options         jsonb   DEFAULT '{}'
) RETURNS uuid
LANGUAGE plpgsql
AS $$
DECLARE
  r llm_requests;
  v_id uuid;
  v_unknown text;
BEGIN
  SELECT string_agg(k, ', ') INTO v_unknown FROM jsonb_object_keys(p_options) k
  WHERE k NOT IN ('id', 'agent_id', 'complexity', 'context', 'allow_text', 'tools', 'tool_choice', 'params', 'agent_name',
                  'agent_version', 'kind', 'quality', 'merge_strategy', 'execution', 'priority', 'scheduled_at', 'expires_at',
                  'timeout_seconds', 'max_attempts', 'parent_id', 'page', 'run_id', 'document_id', 'chunk_id', 'on_unavailable', 'on_overflow');
  IF v_unknown IS NOT NULL THEN
    RAISE EXCEPTION 'llmreq_enqueue: unknown option %', v_unknown USING ERRCODE = 'LQ003';
  END IF;
  r := jsonb_populate_record(NULL::llm_requests, p_options);
  INSERT INTO llm_requests (
    id, messages, content, response_schema, provider, model, tenant_id, task_type, dedupe_key, agent_id, complexity, context,
    allow_text, tools, tool_choice, params, agent_name, agent_version, kind, quality, merge_strategy, execution, priority,
    scheduled_at, expires_at, timeout_seconds, max_attempts, parent_id, page, run_id, document_id, chunk_id, on_unavailable, on_overflow)
  VALUES (
    coalesce(r.id, llmreq_uuid7()), p_messages, p_content, p_response_schema, p_provider, p_model, coalesce(p_tenant_id, 'default'),
    coalesce(p_task_type, 'general'), p_dedupe_key, coalesce(r.agent_id, 'default'), coalesce(r.complexity, 'medium'),
    coalesce(r.context, '{}'), coalesce(r.allow_text, false), r.tools, r.tool_choice, r.params, r.agent_name, r.agent_version,
    coalesce(r.kind, 'chat'), r.quality, r.merge_strategy, r.execution, coalesce(r.priority, 5::smallint),
    coalesce(r.scheduled_at, llmreq_now()), r.expires_at, coalesce(r.timeout_seconds, 30), coalesce(r.max_attempts, 3::smallint),
    r.parent_id, r.page, r.run_id, r.document_id, r.chunk_id, coalesce(r.on_unavailable, 'wait'), r.on_overflow)
  ON CONFLICT (tenant_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
  RETURNING id INTO v_id;
  IF v_id IS NULL THEN
    SELECT q.id INTO v_id FROM llm_requests q
    WHERE q.tenant_id = coalesce(p_tenant_id, 'default') AND q.dedupe_key = p_dedupe_key;
  END IF;
  RETURN v_id;
END
$$;
