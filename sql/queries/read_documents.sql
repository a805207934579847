-- What stands behind claims of stored agents, pages and documents.
SELECT r.id, coalesce(r.response_schema, a.output_schema) AS response_schema, jsonb_build_object(
         'system_prompt', a.system_prompt, 'chunk_tokens', a.chunk_tokens, 'overlap_tokens', a.overlap_tokens, 'chunk_by', a.chunk_by,
         'context_tokens', a.context_tokens, 'strategy', r.merge_strategy, 'on_overflow', r.on_overflow, 'page', r.page, 'page_count', p.pages,
         'pages', r.pages, 'brief', r.brief, 'lane', r.pages_lane,
         'window', CASE WHEN r.pages_lane IS NOT NULL AND r.pages IS NULL THEN llmreq_window(r.pages_lane) END,
         'previous', CASE WHEN r.execution = 'sequential' AND r.page > 1 THEN (
           SELECT coalesce(s.parsed_response::text, s.response) FROM llm_requests s
           WHERE s.parent_id = r.parent_id AND s.page < r.page AND s.status = 'completed' ORDER BY s.page DESC LIMIT 1) END,
         'results', CASE WHEN r.pages IS NOT NULL AND r.brief IS NULL THEN (
           SELECT jsonb_agg(jsonb_build_object(
                    'page', s.page, 'start', s.page_start, 'end', s.page_end, 'status', s.status, 'value', s.parsed_response,
                    'text', s.response, 'tokens', greatest(1, s.estimated_tokens - s.output_cap), 'error_code', s.error_code,
                    'error_message', s.error_message) ORDER BY s.page)
           FROM llm_requests s WHERE s.parent_id = r.id) END) AS document
FROM llm_requests r
LEFT JOIN llm_agents a ON a.id = r.agent_ref
LEFT JOIN llm_requests p ON p.id = r.parent_id
WHERE r.id = ANY (%(ids)b::uuid[])
