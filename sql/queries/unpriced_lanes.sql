-- Lanes without any price that have work or had calls in the last day: their costs are NULL.
WITH used AS (
  SELECT p.lane, NULL::bigint AS calls FROM llmreq_pending_lanes() p
  UNION ALL
  SELECT r.lane, NULL FROM llm_requests r WHERE r.status = 'processing'
  UNION ALL
  SELECT a.lane, count(*) FROM llm_attempts a
  WHERE a.claimed_at >= (SELECT llmreq_now() - interval '24 hours') AND a.cost_usd IS NULL
  GROUP BY a.lane
), lanes AS (
  SELECT u.lane, coalesce(sum(u.calls), 0)::bigint AS unpriced_calls FROM used u GROUP BY u.lane
)
SELECT l.lane, l.unpriced_calls FROM lanes l
WHERE l.unpriced_calls > 0
   OR NOT EXISTS (SELECT FROM llmreq_price_rows(split_part(l.lane, '/', 1), substr(l.lane, strpos(l.lane, '/') + 1)))
ORDER BY l.lane
