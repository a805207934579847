INSERT INTO llm_tenants AS t (tenant_id, weight, paused)
VALUES (%(tenant_id)s, coalesce(%(weight)s::numeric, 1), coalesce(%(paused)s::boolean, false))
ON CONFLICT (tenant_id) DO UPDATE
SET weight = coalesce(%(weight)s::numeric, t.weight), paused = coalesce(%(paused)s::boolean, t.paused), updated_at = llmreq_now()
RETURNING tenant_id, weight, paused
