-- Dollars by UTC day, tenant and model. metered_usd is billed by usage; upper_bound_usd is the most that calls of unknown outcome
-- can have cost. cost_usd is both together, and NULL as soon as one call has no price: unpriced_calls says how many (invariant 5).
CREATE OR REPLACE VIEW llmreq_spend AS
SELECT (a.claimed_at AT TIME ZONE 'UTC')::date AS day, a.tenant_id, a.provider, a.model, count(*) AS calls,
       CASE WHEN count(*) = count(a.cost_usd) THEN sum(a.cost_usd) END AS cost_usd,
       coalesce(sum(a.cost_usd) FILTER (WHERE a.cost_basis <> 'upper_bound'), 0) AS metered_usd,
       coalesce(sum(a.cost_usd) FILTER (WHERE a.cost_basis = 'upper_bound'), 0) AS upper_bound_usd,
       count(*) FILTER (WHERE a.cost_usd IS NULL) AS unpriced_calls
FROM llm_attempts a
GROUP BY 1, 2, 3, 4;
