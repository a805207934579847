DELETE FROM llmreq_meta WHERE key = %(key)s RETURNING key
