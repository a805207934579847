-- Payloads of claimed requests. A payload of more than most_bytes stays where it is, and only its size is told. input_bytes is the
-- trigger's own measure of what is sent, but for images, which it counts apart; an answer's errors are measured where they are long
-- enough to be stored compressed.
SELECT s.payload_bytes, s.payload_bytes <= %(most_bytes)b::bigint AS here,
       r.id, r.claim_seq, r.claimed_at, r.lane, x.max_output_tokens, r.provider, r.model, r.kind, r.task_type, r.timeout_seconds, r.allow_text,
       CASE WHEN s.payload_bytes <= %(most_bytes)b::bigint THEN r.messages END AS messages,
       CASE WHEN s.payload_bytes <= %(most_bytes)b::bigint THEN r.content END AS content,
       CASE WHEN s.payload_bytes <= %(most_bytes)b::bigint THEN r.response_schema END AS response_schema,
       CASE WHEN s.payload_bytes <= %(most_bytes)b::bigint THEN r.tools END AS tools,
       CASE WHEN s.payload_bytes <= %(most_bytes)b::bigint THEN r.tool_choice END AS tool_choice,
       CASE WHEN s.payload_bytes <= %(most_bytes)b::bigint THEN r.params END AS params,
       CASE WHEN s.payload_bytes <= %(most_bytes)b::bigint AND r.validation_errors IS NOT NULL THEN r.response END AS last_response,
       CASE WHEN s.payload_bytes <= %(most_bytes)b::bigint THEN r.validation_errors END AS last_errors
FROM unnest(%(ids)b::uuid[], %(claim_seqs)b::integer[], %(caps)b::integer[]) AS x (id, claim_seq, max_output_tokens)
JOIN llm_requests r ON r.id = x.id AND r.claim_seq = x.claim_seq
CROSS JOIN LATERAL (
  SELECT greatest(r.input_bytes, octet_length(r.content), 0)::bigint
         + CASE WHEN r.images IS NOT NULL OR r.input_bytes IS NULL THEN coalesce(octet_length(r.messages::text), 0) ELSE 0 END
         + CASE WHEN r.validation_errors IS NULL THEN 0 ELSE coalesce(octet_length(r.response), 0) END
         + CASE WHEN pg_column_size(r.validation_errors) > 2000 THEN octet_length(r.validation_errors::text) ELSE 0 END AS payload_bytes
  OFFSET 0  -- measured once, not once for each column
) s
-- By the ids themselves, and so that no plan can take it for the predicate of the processing index and read all that is in flight.
WHERE r.id = ANY (%(ids)b::uuid[]) AND lower(r.status) = 'processing'
