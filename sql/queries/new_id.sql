SELECT llmreq_uuid7() AS id
