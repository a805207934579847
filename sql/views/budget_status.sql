-- Every budget in its present period: spent and held apart, what is left, what waits for it, when it begins anew.
-- used is the larger share of its two limits, spend only.
CREATE OR REPLACE VIEW llmreq_budget_status AS
SELECT b.id, b.scope, nullif(b.subject, '') AS subject, b.period, b.on_exhausted, b.limit_usd, (n.now).spent_usd, (n.now).held_usd,
       greatest(0, b.limit_usd - (n.now).spent_usd - (n.now).held_usd) AS left_usd, b.limit_tokens, (n.now).spent_tokens,
       (n.now).held_tokens, greatest(0, b.limit_tokens - (n.now).spent_tokens - (n.now).held_tokens) AS left_tokens,
       round(greatest((n.now).spent_usd / nullif(b.limit_usd, 0), (n.now).spent_tokens::numeric / nullif(b.limit_tokens, 0)), 4) AS used,
       b.warn_at, (n.now).warned,
       CASE WHEN b.waiting THEN (SELECT count(*) FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id = b.id) ELSE 0 END AS waiting,
       CASE b.period WHEN 'hour' THEN (n.now).period_start + interval '1 hour' WHEN 'day' THEN (n.now).period_start + interval '24 hours'
                     WHEN 'month' THEN (((n.now).period_start AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC' END AS resets_at
FROM llm_budgets b
CROSS JOIN LATERAL (SELECT llmreq_budget_now(b, llmreq_now()) AS now OFFSET 0) n;
