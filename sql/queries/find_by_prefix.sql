SELECT id FROM llm_requests WHERE id BETWEEN %(low)s AND %(high)s LIMIT 2
