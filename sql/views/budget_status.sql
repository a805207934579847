-- Every budget in its present period: spent and held apart, what is left, what waits for it, when it begins anew.
-- used is the larger share of its two limits, spend only. A period that is over counts as llmreq_budget_now() says: nothing is spent.
CREATE OR REPLACE VIEW llmreq_budget_status AS
WITH period AS MATERIALIZED (
  SELECT p.name, llmreq_period_start(p.name, c.now) AS start
  FROM (SELECT llmreq_now() AS now) c CROSS JOIN (VALUES ('hour'), ('day'), ('month'), ('total')) AS p (name)
)
SELECT b.id, b.scope, nullif(b.subject, '') AS subject, b.period, b.on_exhausted, b.limit_usd, n.spent_usd, n.held_usd,
       greatest(0, b.limit_usd - n.spent_usd - n.held_usd) AS left_usd, b.limit_tokens, n.spent_tokens,
       n.held_tokens, greatest(0, b.limit_tokens - n.spent_tokens - n.held_tokens) AS left_tokens,
       round(greatest(n.spent_usd / nullif(b.limit_usd, 0), n.spent_tokens::numeric / nullif(b.limit_tokens, 0)), 4) AS used,
       b.warn_at, n.warned,
       CASE WHEN b.waiting THEN (SELECT count(*) FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id = b.id) ELSE 0 END AS waiting,
       CASE b.period WHEN 'hour' THEN n.start + interval '1 hour' WHEN 'day' THEN n.start + interval '24 hours'
                     WHEN 'month' THEN ((n.start AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC' END AS resets_at
FROM llm_budgets b
JOIN period p ON p.name = b.period
CROSS JOIN LATERAL (
  SELECT CASE WHEN p.start > b.period_start THEN p.start ELSE b.period_start END AS start,
         CASE WHEN p.start > b.period_start THEN 0 ELSE b.spent_usd END AS spent_usd,
         CASE WHEN p.start > b.period_start THEN 0 ELSE b.held_usd END AS held_usd,
         CASE WHEN p.start > b.period_start THEN 0 ELSE b.spent_tokens END AS spent_tokens,
         CASE WHEN p.start > b.period_start THEN 0 ELSE b.held_tokens END AS held_tokens,
         CASE WHEN p.start > b.period_start THEN 0 ELSE b.warned END AS warned
) n;
