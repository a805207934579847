-- One row for the first who asks on a UTC day.
INSERT INTO llmreq_meta AS m (key, value) VALUES ('last_cleanup', (llmreq_now() AT TIME ZONE 'UTC')::date::text)
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, updated_at = llmreq_now() WHERE m.value < EXCLUDED.value
RETURNING value
