-- Dollars by UTC day, tenant and model. metered_usd is billed by usage; upper_bound_usd is the most that calls of unknown outcome
-- can have cost. cost_usd is both together, and NULL as soon as one call has no price: unpriced_calls says how many (invariant 5).
CREATE OR REPLACE VIEW llmreq_spend AS
SELECT u.day, u.tenant_id, u.provider, u.model, sum(u.calls)::bigint AS calls,
       CASE WHEN sum(u.unpriced_calls) = 0 THEN sum(u.cost_usd) END AS cost_usd,
       sum(u.cost_usd - u.upper_bound_usd) AS metered_usd,
       sum(u.upper_bound_usd) AS upper_bound_usd,
       sum(u.unpriced_calls)::bigint AS unpriced_calls
FROM llm_usage_daily u
GROUP BY u.day, u.tenant_id, u.provider, u.model;
