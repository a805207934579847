-- The spend of this UTC day: its largest rows, beside the sums of all of it. cost_usd is NULL where a call of unknown price is in it.
-- Always at least one row: where nothing was spent its lane is NULL. Floats only rank: the sums of what is shown are exact, and a
-- hundred thousand exact sums would take half a second.
WITH clock AS MATERIALIZED (
  SELECT (llmreq_now() AT TIME ZONE 'UTC')::date AS day
), ranked AS MATERIALIZED (
  SELECT u.tenant_id, u.provider, u.model, sum(u.cost_usd::float8) AS usd, sum(u.unpriced_calls::float8) AS unpriced
  FROM llm_usage_daily u WHERE u.day = (SELECT c.day FROM clock c)
  GROUP BY u.tenant_id, u.provider, u.model
), largest AS MATERIALIZED (
  SELECT r.* FROM ranked r
  ORDER BY r.usd DESC, r.unpriced DESC, r.tenant_id COLLATE "C", r.provider COLLATE "C", r.model COLLATE "C" LIMIT %(limit)s
), total AS (
  SELECT (SELECT count(*) FROM ranked) AS total, CASE WHEN coalesce(sum(u.unpriced_calls), 0) = 0 THEN coalesce(sum(u.cost_usd), 0) END AS day_usd,
         coalesce(sum(u.cost_usd), 0) AS day_known_usd
  FROM llm_usage_daily u WHERE u.day = (SELECT c.day FROM clock c)
)
SELECT s.day, l.tenant_id, l.provider || '/' || l.model AS lane, s.calls, s.cost_usd, s.metered_usd, s.upper_bound_usd, s.unpriced_calls,
       t.total, t.day_usd, t.day_known_usd
FROM total t
LEFT JOIN largest l ON true
LEFT JOIN LATERAL (
  SELECT s.* FROM llmreq_spend s
  WHERE s.day = (SELECT c.day FROM clock c) AND s.tenant_id = l.tenant_id AND s.provider = l.provider AND s.model = l.model LIMIT 1
) s ON true
ORDER BY l.usd DESC, l.unpriced DESC, l.tenant_id COLLATE "C", l.provider COLLATE "C", l.model COLLATE "C"
