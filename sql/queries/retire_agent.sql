UPDATE llm_agents a SET retired_at = llmreq_now()
WHERE a.name = %(name)s AND a.tenant_id = %(tenant_id)s AND a.retired_at IS NULL
  AND (%(version)s::integer IS NULL OR a.version = %(version)s)
RETURNING a.version
