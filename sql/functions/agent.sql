-- llmreq_find_agent(tenant, name, version) → agent
-- The tenant's own agent before one of every tenant ('*'); the newest version that is not retired where none is named.
CREATE OR REPLACE FUNCTION llmreq_find_agent(p_tenant text, p_name text, p_version integer) RETURNS llm_agents
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  a llm_agents;
BEGIN
  SELECT x.* INTO a FROM llm_agents x
  WHERE x.name = p_name AND x.tenant_id IN (p_tenant, '*')
    AND (x.version = p_version OR p_version IS NULL AND x.retired_at IS NULL)
  ORDER BY x.tenant_id = p_tenant DESC, x.version DESC LIMIT 1;
  RETURN a;
END
$$;

-- llmreq_take_agent(row) → row
-- What the row leaves open is the agent's: model or quality, task type, params, schema, how pages are made and merged. The prompt and
-- the schema stay with the agent, whose versions never change; the row holds which one it is (agent_ref).
CREATE OR REPLACE FUNCTION llmreq_take_agent(r llm_requests) RETURNS llm_requests
LANGUAGE plpgsql
AS $$
DECLARE
  a llm_agents := llmreq_find_agent(r.tenant_id, r.agent_name, r.agent_version);
BEGIN
  IF a.id IS NULL THEN
    RETURN llmreq_reject(r, 'unknown_agent', CASE WHEN r.agent_version IS NULL
      THEN format('no stored agent of tenant %L is named %L: see llmreq agents list', r.tenant_id, r.agent_name)
      ELSE format('agent %L of tenant %L has no version %s: see llmreq agents list', r.agent_name, r.tenant_id, r.agent_version) END);
  END IF;
  r.agent_ref := a.id;
  r.agent_version := a.version;
  IF r.agent_id = 'default' THEN
    r.agent_id := a.name;
  END IF;
  IF r.task_type = 'general' THEN
    r.task_type := coalesce(a.task_type, r.task_type);
  END IF;
  IF r.provider IS NULL AND r.model IS NULL THEN
    r.provider := a.provider;
    r.model := a.model;
  END IF;
  IF r.model IS NULL THEN
    r.quality := coalesce(r.quality, a.quality);
  END IF;
  r.execution := coalesce(r.execution, a.execution);
  r.merge_strategy := coalesce(r.merge_strategy, a.merge_strategy, CASE WHEN a.output_schema IS NULL THEN 'concat' ELSE 'merge' END);
  r.on_overflow := coalesce(r.on_overflow, a.on_overflow);
  IF a.max_output_tokens IS NOT NULL AND NOT coalesce(r.params ?| '{max_output_tokens,max_completion_tokens,max_tokens}', false) THEN
    r.params := jsonb_build_object('max_output_tokens', a.max_output_tokens) || coalesce(r.params, '{}');
  END IF;
  IF a.params IS NOT NULL THEN
    r.params := a.params || coalesce(r.params, '{}');
  END IF;
  RETURN r;
END
$$;

-- llmreq_window(lane) → tokens the model can read and write in one call; NULL where nobody said
CREATE OR REPLACE FUNCTION llmreq_window(p_lane text) RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_model text := substr(p_lane, strpos(p_lane, '/') + 1);
BEGIN
  RETURN (
    SELECT m.context_tokens FROM llm_models m
    WHERE m.provider = split_part(p_lane, '/', 1)
      AND (m.model IN (v_model, llmreq_model_family(v_model)) OR m.model LIKE '%*' AND starts_with(v_model, rtrim(m.model, '*')))
    ORDER BY length(m.model) DESC LIMIT 1);
END
$$;

-- llmreq_before_agent: versions are numbered by themselves and never change.
CREATE OR REPLACE FUNCTION llmreq_before_agent() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF to_jsonb(NEW) - '{retired_at,description}'::text[] <> to_jsonb(OLD) - '{retired_at,description}'::text[] THEN
      RAISE EXCEPTION 'a version of an agent never changes: insert a new one (only retired_at and description may be set)'
        USING ERRCODE = 'LQ006';
    END IF;
    RETURN NEW;
  END IF;
  IF jsonb_path_exists(NEW.output_schema, '$.**."$ref" ? (@.type() == "string" && !(@ starts with "#"))') THEN
    RAISE EXCEPTION 'output_schema of agent % refers to another document: only references inside it (#/…) are followed', NEW.name
      USING ERRCODE = 'LQ006';
  END IF;
  IF NEW.version IS NULL THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('llmreq agent ' || NEW.tenant_id || '/' || NEW.name, 0));
    NEW.version := 1 + coalesce((
      SELECT max(a.version) FROM llm_agents a WHERE a.tenant_id = NEW.tenant_id AND a.name = NEW.name), 0);
  END IF;
  RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER llmreq_before_agent BEFORE INSERT OR UPDATE ON llm_agents
  FOR EACH ROW EXECUTE FUNCTION llmreq_before_agent();
