SELECT count(*) FILTER (WHERE to_regclass('llm_attempts_' || to_char(day, 'YYYYMMDD')) IS NOT NULL) AS ahead,
       EXISTS (SELECT FROM llm_attempts_default) AS default_used
FROM generate_series(0, 6) n
CROSS JOIN LATERAL (SELECT (llmreq_now() AT TIME ZONE 'UTC')::date + n AS day) d
