SELECT llmreq_uuid7() AS id FROM generate_series(1, %(count)s)
