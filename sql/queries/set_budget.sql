INSERT INTO llm_budgets AS b (scope, subject, period, limit_usd, limit_tokens, on_exhausted, warn_at)
VALUES (%(scope)s, %(subject)s, %(period)s, %(limit_usd)s, %(limit_tokens)s, coalesce(%(on_exhausted)s, 'wait'),
        coalesce(%(warn_at)s::numeric[], '{0.8}'))
ON CONFLICT (scope, subject, period) DO UPDATE
SET limit_usd = CASE WHEN %(keep_usd)s THEN b.limit_usd ELSE EXCLUDED.limit_usd END,
    limit_tokens = CASE WHEN %(keep_tokens)s THEN b.limit_tokens ELSE EXCLUDED.limit_tokens END,
    on_exhausted = coalesce(%(on_exhausted)s, b.on_exhausted), warn_at = coalesce(%(warn_at)s::numeric[], b.warn_at)
RETURNING id
