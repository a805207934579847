-- A change does not count anew what the period has cost; only a new budget does.
WITH changed AS (
  UPDATE llm_budgets b
  SET limit_usd = CASE WHEN %(keep_usd)s THEN b.limit_usd ELSE %(limit_usd)s END,
      limit_tokens = CASE WHEN %(keep_tokens)s THEN b.limit_tokens ELSE %(limit_tokens)s END,
      on_exhausted = coalesce(%(on_exhausted)s, b.on_exhausted), warn_at = coalesce(%(warn_at)s::numeric[], b.warn_at)
  WHERE b.scope = %(scope)s AND b.subject = %(subject)s AND b.period = %(period)s
  RETURNING b.id
), made AS (
  INSERT INTO llm_budgets AS b (scope, subject, period, limit_usd, limit_tokens, on_exhausted, warn_at)
  SELECT %(scope)s, %(subject)s, %(period)s, %(limit_usd)s::numeric, %(limit_tokens)s::bigint, coalesce(%(on_exhausted)s, 'wait'),
         coalesce(%(warn_at)s::numeric[], '{0.8}')
  WHERE NOT EXISTS (SELECT FROM changed)
  ON CONFLICT (scope, subject, period) DO UPDATE
  SET limit_usd = EXCLUDED.limit_usd, limit_tokens = EXCLUDED.limit_tokens, on_exhausted = EXCLUDED.on_exhausted
  RETURNING b.id
)
SELECT id FROM changed UNION ALL SELECT id FROM made
