SELECT id, status FROM llm_requests WHERE id = ANY(%(ids)b) ORDER BY completed_at
