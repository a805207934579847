-- Lanes and days with calls since then, oldest first.
SELECT DISTINCT u.day, u.provider || '/' || u.model AS lane FROM llm_usage_daily u
WHERE u.day >= %(since)s::date AND (%(lane)s::text IS NULL OR u.provider || '/' || u.model = %(lane)s) AND u.counted_calls > 0
ORDER BY 1, 2
