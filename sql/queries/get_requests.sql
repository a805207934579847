SELECT * FROM llm_requests WHERE id = ANY(%(ids)b)
