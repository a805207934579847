-- Every lane that has been called or that has pending requests: is it open, who serves it, has it a price, how did its calls go in
-- the last hour.
CREATE OR REPLACE VIEW llmreq_lane_health AS
WITH clock AS MATERIALIZED (
  SELECT llmreq_now() AS now
), recent AS (
  SELECT a.lane, count(*) AS calls, count(*) FILTER (WHERE a.outcome <> 'completed') AS failed
  FROM llm_attempts a
  WHERE a.cost_basis <> 'correction' AND a.claimed_at >= (SELECT c.now - interval '2 hours' FROM clock c)
    AND a.settled_at >= (SELECT c.now - interval '1 hour' FROM clock c)
  GROUP BY a.lane
)
SELECT d.lane, d.state, d.blocked_until, d.block_message, d.pending + d.aside AS pending, d.in_flight, d.max_in_flight,
       d.consecutive_failures, d.priced, coalesce(h.calls, 0) AS calls, coalesce(h.failed, 0) AS failed
FROM llmreq_lane_depth d
LEFT JOIN recent h ON h.lane = d.lane
WHERE d.lane <> '*/*' AND (d.called OR d.pending + d.aside > 0);
