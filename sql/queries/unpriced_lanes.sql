-- Lanes without any price that have work or had calls yesterday or today: their costs are NULL.
WITH used AS (
  SELECT p.lane, NULL::bigint AS calls FROM llmreq_pending_lanes() p
  UNION ALL
  SELECT r.lane, NULL FROM llm_requests r WHERE r.status = 'processing'
  UNION ALL
  SELECT u.provider || '/' || u.model, u.unpriced_calls FROM llm_usage_daily u
  WHERE u.day >= (llmreq_now() AT TIME ZONE 'UTC')::date - 1 AND u.unpriced_calls > 0
), lanes AS (
  SELECT u.lane, coalesce(sum(u.calls), 0)::bigint AS unpriced_calls FROM used u GROUP BY u.lane
)
SELECT l.lane, l.unpriced_calls FROM lanes l
WHERE l.unpriced_calls > 0
   OR NOT EXISTS (SELECT FROM llmreq_price_rows(split_part(l.lane, '/', 1), substr(l.lane, strpos(l.lane, '/') + 1)))
ORDER BY l.lane
