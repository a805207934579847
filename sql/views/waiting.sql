-- Why each lane's pending requests wait. reason is NULL when requests are due and the lane is open: they are about to be claimed.
-- It is read from the lane first; llmreq_explain_waiting writes it on the rows only at a queue's head. Then from the head itself.
CREATE OR REPLACE VIEW llmreq_waiting AS
WITH clock AS MATERIALIZED (
  SELECT llmreq_now() AS now
), aside AS (
  SELECT r.lane, r.budget_id, count(*) AS requests, min(r.created_at) FILTER (WHERE isfinite(r.created_at)) AS oldest_at
  FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NOT NULL
  GROUP BY r.lane, r.budget_id
)
SELECT d.lane, coalesce(d.reason, head.wait_reason) AS reason, coalesce(head.error_message, d.message) AS message, d.pending AS requests,
       d.due, CASE WHEN d.blocked_until IS NOT NULL THEN d.blocked_until WHEN d.due = 0 THEN d.next_at END AS until,
       round(extract(epoch FROM (SELECT c.now FROM clock c) - d.pending_since), 3) AS oldest_seconds
FROM llmreq_lane_depth d
LEFT JOIN LATERAL (
  -- Looked up only where it can say more than the lane does.
  SELECT r.wait_reason, r.error_message FROM llm_requests r
  WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = d.lane
    AND (d.reason = 'no_worker' OR d.reason IS NULL AND d.said)
  ORDER BY r.lane, r.tenant_id, r.priority, r.scheduled_at, r.id LIMIT 1
) head ON d.reason = 'no_worker' OR head.wait_reason IN ('rate_limit', 'budget', 'backoff')
WHERE d.pending > 0
UNION ALL
SELECT x.lane, 'budget', format('the budget of %s is used up or held: llmreq budgets list', llmreq_budget_name(b)), x.requests, x.requests,
       s.resets_at, round(extract(epoch FROM (SELECT c.now FROM clock c) - x.oldest_at), 3)
FROM aside x
JOIN llm_budgets b ON b.id = x.budget_id
JOIN llmreq_budget_status s ON s.id = x.budget_id;
