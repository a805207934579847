-- Every lane that has been called or that has pending requests: is it open, who serves it, has it a price, how did its calls go in
-- the last hour.
CREATE OR REPLACE VIEW llmreq_lane_health AS
WITH clock AS MATERIALIZED (
  SELECT llmreq_now() AS now
), pending AS (
  SELECT x.lane, count(*) AS n
  FROM (SELECT r.lane FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NULL
        UNION ALL
        SELECT r.lane FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NOT NULL) x
  GROUP BY x.lane
), recent AS (
  SELECT a.lane, count(*) AS calls, count(*) FILTER (WHERE a.outcome <> 'completed') AS failed
  FROM llm_attempts a
  WHERE a.cost_basis <> 'correction' AND a.claimed_at >= (SELECT c.now - interval '2 hours' FROM clock c)
    AND a.settled_at >= (SELECT c.now - interval '1 hour' FROM clock c)
  GROUP BY a.lane
), named AS (
  SELECT l.lane FROM llm_lanes l
  UNION
  SELECT p.lane FROM pending p
)
SELECT n.lane, CASE
         WHEN NOT llmreq_served(n.lane) THEN 'no_worker'
         WHEN pause.paused THEN 'paused'
         WHEN l.blocked_until > c.now THEN l.block_reason
         WHEN l.breaker_opened > 0 THEN 'probing'
         ELSE 'open' END AS state,
       CASE WHEN l.blocked_until > c.now THEN l.blocked_until END AS blocked_until, l.block_message,
       coalesce(p.n, 0) AS pending, coalesce(l.in_flight, 0) AS in_flight, l.max_in_flight,
       coalesce(l.consecutive_failures, 0) AS consecutive_failures,
       EXISTS (SELECT FROM llmreq_price_rows(split_part(n.lane, '/', 1), substr(n.lane, strpos(n.lane, '/') + 1))) AS priced,
       coalesce(h.calls, 0) AS calls, coalesce(h.failed, 0) AS failed
FROM named n
CROSS JOIN clock c
CROSS JOIN LATERAL (SELECT llmreq_paused(n.lane) AS paused) pause
LEFT JOIN llm_lanes l ON l.lane = n.lane
LEFT JOIN pending p ON p.lane = n.lane
LEFT JOIN recent h ON h.lane = n.lane
WHERE n.lane <> '*/*';
