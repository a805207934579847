-- Requests that were called in the last 24 hours, by tenant and agent: how many ended well, and how many calls that took.
-- success_rate counts ended requests only; NULL while none has ended.
CREATE OR REPLACE VIEW llmreq_success_by_agent AS
WITH called AS (
  SELECT a.request_id, count(*) AS calls
  FROM llm_attempts a
  WHERE a.cost_basis <> 'correction' AND a.claimed_at >= (SELECT llmreq_now() - interval '24 hours')
  GROUP BY a.request_id
)
SELECT r.tenant_id, r.agent_id, count(*) AS requests, sum(c.calls)::bigint AS calls,
       count(*) FILTER (WHERE r.status = 'completed') AS completed,
       count(*) FILTER (WHERE r.status = 'failed') AS failed,
       count(*) FILTER (WHERE r.status = 'cancelled') AS cancelled,
       round(count(*) FILTER (WHERE r.status = 'completed')::numeric
             / nullif(count(*) FILTER (WHERE r.status IN ('completed', 'failed')), 0), 4) AS success_rate
FROM called c JOIN llm_requests r ON r.id = c.request_id
GROUP BY r.tenant_id, r.agent_id;
