-- Of one id, or all; with by_use those that matter most first. total counts them without the limit.
WITH listed AS (
  SELECT s.id, s.scope, s.subject, s.period, s.on_exhausted, s.limit_usd, s.spent_usd, s.held_usd, s.left_usd,
         s.limit_tokens, s.spent_tokens, s.held_tokens, s.left_tokens, s.used, s.warn_at, s.waiting, s.resets_at
  FROM llmreq_budget_status s
  WHERE %(id)s::integer IS NULL OR s.id = %(id)s
  ORDER BY CASE WHEN %(by_use)s THEN s.used END DESC NULLS LAST, CASE WHEN %(by_use)s THEN s.waiting END DESC, s.scope,
           s.subject NULLS FIRST, s.period
  LIMIT %(limit)s
)
SELECT l.id, concat_ws(':', l.scope, l.subject) AS budget, l.period, l.on_exhausted, l.limit_usd, l.spent_usd, l.held_usd, l.left_usd,
       l.limit_tokens, l.spent_tokens, l.held_tokens, l.left_tokens, l.used, l.warn_at, l.waiting, l.resets_at,
       (SELECT count(*) FROM llm_budgets b WHERE %(id)s::integer IS NULL OR b.id = %(id)s) AS total
FROM listed l
