SELECT r.tenant_id, r.dedupe_key, r.id
FROM unnest(%(tenant_ids)s::text[], %(dedupe_keys)s::text[]) AS wanted (tenant_id, dedupe_key)
JOIN llm_requests r ON r.tenant_id = wanted.tenant_id AND r.dedupe_key = wanted.dedupe_key
