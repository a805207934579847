-- Why each lane's pending requests wait. reason is NULL when requests are due and the lane is open: they are about to be claimed.
-- It is read from the lane first; llmreq_explain_waiting writes it on the rows only at a queue's head. Then from the head itself.
CREATE OR REPLACE VIEW llmreq_waiting AS
WITH clock AS MATERIALIZED (
  SELECT llmreq_now() AS now
), pending AS (
  SELECT r.lane, count(*) AS requests, count(*) FILTER (WHERE r.scheduled_at <= c.now) AS due,
         min(r.scheduled_at) AS next_at, min(r.created_at) AS oldest_at
  FROM clock c JOIN llm_requests r ON r.status = 'pending' AND r.budget_id IS NULL
  GROUP BY r.lane
)
SELECT p.lane, CASE
         WHEN NOT served.served THEN 'no_worker'
         WHEN pause.paused THEN 'paused'
         WHEN l.blocked_until > c.now THEN l.block_reason
         WHEN l.in_flight >= l.max_in_flight OR least(l.request_level - 1, l.token_level, l.input_level, l.output_level) < 0
           THEN 'rate_limit'
         WHEN head.wait_reason IN ('rate_limit', 'budget', 'backoff') THEN head.wait_reason END AS reason,
       CASE
         WHEN NOT served.served THEN coalesce(head.error_message, 'no worker is running')
         WHEN pause.paused THEN 'the lane, its provider or everything is paused: llmreq limits resume'
         WHEN l.blocked_until > c.now THEN l.block_message
         WHEN l.in_flight >= l.max_in_flight THEN format('%s calls are in flight, as many as allowed', l.in_flight)
         WHEN least(l.request_level - 1, l.token_level, l.input_level, l.output_level) < 0 THEN 'the lane is at its limit: llmreq limits'
         WHEN head.wait_reason IN ('rate_limit', 'budget', 'backoff') THEN head.error_message
         WHEN p.due = 0 THEN 'scheduled for later' END AS message,
       p.requests, p.due,
       CASE WHEN l.blocked_until > c.now THEN l.blocked_until WHEN p.due = 0 THEN p.next_at END AS until,
       round(extract(epoch FROM c.now - p.oldest_at), 3) AS oldest_seconds
FROM pending p
CROSS JOIN clock c
CROSS JOIN LATERAL (SELECT llmreq_served(p.lane) AS served) served
CROSS JOIN LATERAL (SELECT llmreq_paused(p.lane) AS paused) pause
LEFT JOIN llm_lanes l ON l.lane = p.lane
LEFT JOIN LATERAL (
  SELECT r.wait_reason, r.error_message FROM llm_requests r
  WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = p.lane
  ORDER BY r.lane, r.tenant_id, r.priority, r.scheduled_at, r.id LIMIT 1
) head ON true
UNION ALL
SELECT x.lane, 'budget', format('the budget of %s is used up or held: llmreq budgets list', llmreq_budget_name(b)), x.requests, x.requests,
       s.resets_at, round(extract(epoch FROM c.now - x.oldest_at), 3)
FROM clock c
CROSS JOIN (
  SELECT r.lane, r.budget_id, count(*) AS requests, min(r.created_at) AS oldest_at
  FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NOT NULL
  GROUP BY r.lane, r.budget_id
) x
JOIN llm_budgets b ON b.id = x.budget_id
JOIN llmreq_budget_status s ON s.id = x.budget_id;
