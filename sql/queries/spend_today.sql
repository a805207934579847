SELECT s.day, s.tenant_id, s.provider || '/' || s.model AS lane, s.calls, s.cost_usd, s.metered_usd, s.upper_bound_usd, s.unpriced_calls
FROM llmreq_spend s
WHERE s.day = (llmreq_now() AT TIME ZONE 'UTC')::date
ORDER BY s.tenant_id, lane
