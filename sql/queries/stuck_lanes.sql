-- What a drained fleet leaves behind, from the words written on each lane's head while a worker still ran.
SELECT p.lane, head.wait_reason, head.error_message, n.requests
FROM llmreq_pending_lanes() p
CROSS JOIN LATERAL (
  SELECT r.wait_reason, r.error_message FROM llm_requests r
  WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = p.lane
  ORDER BY r.lane, r.tenant_id, r.priority, r.scheduled_at, r.id LIMIT 1
) head
CROSS JOIN LATERAL (SELECT count(*) AS requests FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = p.lane) n
WHERE head.wait_reason IN ('no_worker', 'paused')
UNION ALL
SELECT w.lane, w.reason, w.message, w.requests FROM llmreq_waiting w WHERE w.reason = 'budget'
ORDER BY lane
