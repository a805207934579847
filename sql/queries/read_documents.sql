-- What stands behind claims of stored agents, pages and documents. What has more than most_bytes stays where it is. With json, not jsonb, where much may come together: jsonb knows lists of at most 256 MB.
SELECT r.id, d.document_bytes, d.document_bytes <= %(most_bytes)b::bigint AS here,
       coalesce(r.response_schema, a.output_schema) AS response_schema,
       CASE WHEN d.document_bytes <= %(most_bytes)b::bigint THEN json_build_object(
         'system_prompt', a.system_prompt, 'chunk_tokens', a.chunk_tokens, 'overlap_tokens', a.overlap_tokens, 'chunk_by', a.chunk_by,
         'context_tokens', a.context_tokens, 'strategy', r.merge_strategy, 'on_overflow', r.on_overflow, 'page', r.page, 'page_count', p.pages,
         'pages', r.pages, 'brief', r.brief, 'lane', r.pages_lane,
         'window', CASE WHEN r.pages_lane IS NOT NULL AND r.pages IS NULL THEN llmreq_window(r.pages_lane) END,
         'previous', coalesce(b.parsed_response::text, b.response),
         'results', CASE WHEN r.pages IS NOT NULL AND r.brief IS NULL THEN (
           SELECT json_agg(json_build_object(
                    'page', s.page, 'start', s.page_start, 'end', s.page_end, 'status', s.status, 'value', s.parsed_response,
                    'text', s.response, 'tokens', greatest(1, s.estimated_tokens - s.output_cap), 'error_code', s.error_code,
                    'error_message', s.error_message) ORDER BY s.page)
           FROM llm_requests s WHERE s.parent_id = r.id) END) END AS document
FROM llm_requests r
LEFT JOIN llm_agents a ON a.id = r.agent_ref
LEFT JOIN llm_requests p ON p.id = r.parent_id
-- The page before, where pages are asked in order.
LEFT JOIN LATERAL (
  SELECT s.parsed_response, s.response FROM llm_requests s
  WHERE r.execution = 'sequential' AND r.page > 1 AND s.parent_id = r.parent_id AND s.page < r.page AND s.status = 'completed'
  ORDER BY s.page DESC LIMIT 1
) b ON true
-- What the pages came to comes twice: as text and decoded.
CROSS JOIN LATERAL (
  SELECT coalesce(octet_length(b.response), 0) + CASE WHEN r.pages IS NULL OR r.brief IS NOT NULL THEN 0 ELSE (
           SELECT coalesce(2 * sum(octet_length(s.response)), 0) FROM llm_requests s WHERE s.parent_id = r.id) END AS document_bytes
  OFFSET 0
) d
WHERE r.id = ANY (%(ids)b::uuid[])
