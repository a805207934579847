-- The version that a request would run; with `own`, only the tenant's, retired ones too: what a new version comes after.
SELECT a.* FROM llm_agents a
WHERE a.name = %(name)s AND (a.tenant_id = %(tenant_id)s OR a.tenant_id = '*' AND NOT %(own)s)
  AND (a.version = %(version)s OR %(version)s::integer IS NULL AND (a.retired_at IS NULL OR %(own)s))
ORDER BY a.tenant_id = %(tenant_id)s DESC, a.version DESC LIMIT 1
