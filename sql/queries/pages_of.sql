SELECT page, status, lane, attempts, input_tokens, output_tokens, cost_usd, error_code, error_message, page_start, page_end
FROM llm_requests WHERE parent_id = %(id)s ORDER BY page
