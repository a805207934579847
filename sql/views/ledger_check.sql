-- No rows when the books balance. Each row names one thing that does not, with what it should be and what it is.
CREATE OR REPLACE VIEW llmreq_ledger_check AS
WITH booked AS (
  SELECT a.request_id, sum(a.input_tokens) AS input_tokens, sum(a.output_tokens) AS output_tokens,
         sum(a.cache_read_tokens) AS cache_read_tokens,
         sum(coalesce(a.cache_write_5m_tokens, 0) + coalesce(a.cache_write_1h_tokens, 0)) AS cache_write_tokens,
         sum(a.reasoning_tokens) AS reasoning_tokens,
         CASE WHEN count(*) = count(a.cost_usd) THEN sum(a.cost_usd) END AS cost_usd
  FROM llm_attempts a GROUP BY a.request_id
), compared AS (
  SELECT r.id, b.request_id, r.cost_usd, coalesce(b.cost_usd, CASE WHEN b.request_id IS NULL THEN 0 END) AS booked_usd,
         ARRAY[r.input_tokens, r.output_tokens, r.cache_read_tokens, r.cache_write_tokens, r.reasoning_tokens] AS tokens,
         ARRAY[coalesce(b.input_tokens, 0), coalesce(b.output_tokens, 0), coalesce(b.cache_read_tokens, 0),
               coalesce(b.cache_write_tokens, 0), coalesce(b.reasoning_tokens, 0)]::bigint[] AS booked_tokens
  FROM llm_requests r LEFT JOIN booked b ON b.request_id = r.id
)
SELECT 'request_cost' AS check_name, c.id::text AS subject, c.booked_usd::text AS expected, c.cost_usd::text AS actual
FROM compared c WHERE c.cost_usd IS DISTINCT FROM c.booked_usd
UNION ALL
SELECT 'request_tokens', c.id::text, c.booked_tokens::text, c.tokens::text
FROM compared c WHERE c.tokens <> c.booked_tokens
UNION ALL
SELECT 'lane_in_flight', l.lane, coalesce(p.n, 0)::text, l.in_flight::text
FROM llm_lanes l
LEFT JOIN (
  SELECT x.lane, count(*) AS n
  FROM llm_requests r CROSS JOIN LATERAL (VALUES (r.lane), (llmreq_provider_lane(r.lane))) AS x (lane)
  WHERE r.status = 'processing' GROUP BY x.lane
) p ON p.lane = l.lane
WHERE l.in_flight <> coalesce(p.n, 0)
UNION ALL
SELECT 'processing_without_worker', r.id::text, 'a worker', NULL
FROM llm_requests r WHERE r.status = 'processing' AND r.worker_id IS NULL
UNION ALL
SELECT 'ended_with_hold', r.id::text, NULL, concat_ws(' ', r.hold_usd, r.held_input_tokens, r.held_output_tokens)
FROM llm_requests r
WHERE r.status <> 'processing' AND num_nonnulls(r.hold_usd, r.held_input_tokens, r.held_output_tokens) > 0
UNION ALL
SELECT 'claim_booked_twice', a.request_id::text || ' claim ' || a.claim_seq, '1', count(*)::text
FROM llm_attempts a
GROUP BY a.request_id, a.claim_seq HAVING count(*) > 1;
