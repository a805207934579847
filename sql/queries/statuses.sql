SELECT id, status FROM llm_requests WHERE id = ANY(%(ids)s) ORDER BY completed_at
