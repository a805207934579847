-- How long calls took and how long requests waited for their first one, by lane, over the last hour; in milliseconds.
-- The wait runs from the moment a request was due (its INSERT, its scheduled_at, a retry's) to its claim.
CREATE OR REPLACE VIEW llmreq_latency AS
WITH since AS MATERIALIZED (
  SELECT llmreq_now() - interval '1 hour' AS at
), call AS (
  SELECT a.lane, a.latency_ms,
         CASE WHEN a.attempt = 1 AND isfinite(greatest(r.created_at, r.scheduled_at))
              THEN extract(epoch FROM a.claimed_at - greatest(r.created_at, r.scheduled_at)) * 1000 END AS wait_ms
  FROM llm_attempts a
  LEFT JOIN llm_requests r ON r.id = a.request_id AND r.claim_seq = a.claim_seq AND r.status IN ('completed', 'failed')
  WHERE a.claimed_at >= (SELECT s.at - interval '1 hour' FROM since s) AND a.settled_at >= (SELECT s.at FROM since s)
)
SELECT c.lane, count(c.latency_ms) AS calls,
       round((percentile_cont(0.5) WITHIN GROUP (ORDER BY c.latency_ms))::numeric, 1) AS p50_ms,
       round((percentile_cont(0.95) WITHIN GROUP (ORDER BY c.latency_ms))::numeric, 1) AS p95_ms,
       round((percentile_cont(0.99) WITHIN GROUP (ORDER BY c.latency_ms))::numeric, 1) AS p99_ms,
       count(c.wait_ms) AS waits,
       round((percentile_cont(0.5) WITHIN GROUP (ORDER BY c.wait_ms))::numeric, 1) AS wait_p50_ms,
       round((percentile_cont(0.95) WITHIN GROUP (ORDER BY c.wait_ms))::numeric, 1) AS wait_p95_ms,
       round((percentile_cont(0.99) WITHIN GROUP (ORDER BY c.wait_ms))::numeric, 1) AS wait_p99_ms
FROM call c
GROUP BY c.lane;
