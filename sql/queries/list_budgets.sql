SELECT s.id, concat_ws(':', s.scope, s.subject) AS budget, s.period, s.on_exhausted, s.limit_usd, s.spent_usd, s.held_usd, s.left_usd,
       s.limit_tokens, s.spent_tokens, s.held_tokens, s.left_tokens, s.used, s.warn_at, s.waiting, s.resets_at
FROM llmreq_budget_status s
WHERE %(id)s::integer IS NULL OR s.id = %(id)s
ORDER BY s.scope, s.subject NULLS FIRST, s.period
