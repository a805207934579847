SELECT r.id, r.claim_seq, r.claimed_at, r.lane, x.max_output_tokens, r.provider, r.model, r.kind, r.task_type, r.timeout_seconds,
       r.allow_text, r.messages, r.content, coalesce(r.response_schema, a.output_schema) AS response_schema, r.tools, r.tool_choice, r.params,
       CASE WHEN r.validation_errors IS NOT NULL THEN r.response END AS last_response, r.validation_errors AS last_errors,
       -- Only for a stored agent's request, a page, or a document.
       CASE WHEN r.agent_ref IS NOT NULL OR r.parent_id IS NOT NULL OR r.pages_lane IS NOT NULL OR r.brief IS NOT NULL THEN jsonb_build_object(
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
           FROM llm_requests s WHERE s.parent_id = r.id) END) END AS document
FROM unnest(%(ids)b::uuid[], %(claim_seqs)b::integer[], %(caps)b::integer[]) AS x (id, claim_seq, max_output_tokens)
JOIN llm_requests r ON r.id = x.id AND r.claim_seq = x.claim_seq
LEFT JOIN llm_agents a ON a.id = r.agent_ref
LEFT JOIN llm_requests p ON p.id = r.parent_id
WHERE r.status = 'processing'
