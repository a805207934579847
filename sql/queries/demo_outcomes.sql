SELECT r.id, r.task_type, coalesce(r.content, r.messages -> -1 ->> 'content') AS question, r.lane, r.status, r.attempts, r.pages, r.merge_report,
       r.input_tokens + r.cache_read_tokens + r.cache_write_tokens AS tokens_in, r.output_tokens AS tokens_out, r.cost_usd,
       r.response, r.parsed_response, r.repairs, r.error_code, r.error_message,
       (SELECT jsonb_agg(e ORDER BY a.claim_seq) FROM llm_attempts a CROSS JOIN LATERAL jsonb_array_elements(a.validation_errors) e
        WHERE a.request_id = r.id) AS validation_errors
FROM llm_requests r WHERE r.run_id = %(run_id)s AND r.parent_id IS NULL ORDER BY r.id
