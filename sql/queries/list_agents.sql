SELECT a.tenant_id, a.name, a.version, a.description, a.task_type, a.provider, a.model, a.quality, a.chunk_tokens, a.merge_strategy, a.execution,
       a.retired_at, a.created_at
FROM llm_agents a
WHERE (%(tenant_id)s::text IS NULL OR a.tenant_id IN (%(tenant_id)s, '*'))
  AND (%(all)s OR a.retired_at IS NULL AND NOT EXISTS (
    SELECT FROM llm_agents b
    WHERE b.tenant_id = a.tenant_id AND b.name = a.name AND b.version > a.version AND b.retired_at IS NULL))
ORDER BY a.name, a.tenant_id, a.version
