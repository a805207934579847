SELECT r.id, r.claim_seq, r.claimed_at, r.lane, x.max_output_tokens, r.provider, r.model, r.kind, r.task_type, r.timeout_seconds,
       r.allow_text, r.messages, r.content, r.response_schema, r.tools, r.tool_choice, r.params,
       CASE WHEN r.validation_errors IS NOT NULL THEN r.response END AS last_response, r.validation_errors AS last_errors
FROM unnest(%(ids)b::uuid[], %(claim_seqs)b::integer[], %(caps)b::integer[]) AS x (id, claim_seq, max_output_tokens)
JOIN llm_requests r ON r.id = x.id AND r.claim_seq = x.claim_seq
WHERE r.status = 'processing'
