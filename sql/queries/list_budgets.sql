-- Of one id, or all; with by_use those that are used up most first. total counts them without the limit.
-- What waits is counted only for those that are listed.
WITH listed AS MATERIALIZED (
  SELECT s.id FROM llmreq_budget_status s
  WHERE %(id)s::integer IS NULL OR s.id = %(id)s
  ORDER BY CASE WHEN %(by_use)s THEN s.used END DESC NULLS LAST, s.scope, s.subject NULLS FIRST, s.period
  LIMIT %(limit)s
)
SELECT s.id, concat_ws(':', s.scope, s.subject) AS budget, s.period, s.on_exhausted, s.limit_usd, s.spent_usd, s.held_usd, s.left_usd,
       s.limit_tokens, s.spent_tokens, s.held_tokens, s.left_tokens, s.used, s.warn_at, s.waiting, s.resets_at,
       (SELECT count(*) FROM llm_budgets b WHERE %(id)s::integer IS NULL OR b.id = %(id)s) AS total
FROM llmreq_budget_status s
WHERE %(limit)s::bigint IS NULL AND %(id)s::integer IS NULL OR s.id = ANY (ARRAY(SELECT l.id FROM listed l))
ORDER BY CASE WHEN %(by_use)s THEN s.used END DESC NULLS LAST, s.scope, s.subject NULLS FIRST, s.period
