-- Requests that ended failed in the last 24 hours, by error code and lane, with the newest one's words.
CREATE OR REPLACE VIEW llmreq_failures AS
SELECT r.error_code, r.lane, count(*) AS requests, max(r.completed_at) AS last_at,
       (array_agg(r.id ORDER BY r.completed_at DESC))[1] AS last_id,
       (array_agg(r.error_message ORDER BY r.completed_at DESC))[1] AS last_message
FROM llm_requests r
WHERE r.status = 'failed' AND r.completed_at >= (SELECT llmreq_now() - interval '24 hours')
GROUP BY r.error_code, r.lane;
