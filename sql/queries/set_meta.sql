INSERT INTO llmreq_meta (key, value) VALUES (%(key)s, %(value)s)
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, updated_at = llmreq_now()
RETURNING key
