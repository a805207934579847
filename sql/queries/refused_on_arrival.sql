SELECT id, error_code, error_message FROM llm_requests
WHERE id = ANY(%(ids)s) AND status = 'failed' AND error_details ->> 'stage' = 'insert'
