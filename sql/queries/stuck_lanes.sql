-- What a drained fleet leaves behind, from the words written on each lane's head while a worker still ran: the `limit` lanes with
-- most requests. total counts them all.
WITH stuck AS (
  SELECT d.lane, head.wait_reason, head.error_message, d.pending AS requests
  FROM llmreq_lane_depth d
  CROSS JOIN LATERAL (
    SELECT r.wait_reason, r.error_message FROM llm_requests r
    WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = d.lane
    ORDER BY r.lane, r.tenant_id, r.priority, r.scheduled_at, r.id LIMIT 1
  ) head
  WHERE d.pending > 0 AND head.wait_reason IN ('no_worker', 'paused', 'provider_down')
  UNION ALL
  SELECT w.lane, w.reason, w.message, w.requests FROM llmreq_waiting w WHERE w.reason = 'budget'
)
SELECT s.lane, s.wait_reason, s.error_message, s.requests, count(*) OVER () AS total
FROM stuck s
ORDER BY s.requests DESC, s.lane LIMIT %(limit)s
