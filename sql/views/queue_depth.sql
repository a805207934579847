-- Open requests by lane and status, with the age of the oldest. Reads only the partial indexes of open rows: a million completed
-- requests cost it nothing. A waiting parent is found through its open pages. A created_at of infinity has no age.
CREATE OR REPLACE VIEW llmreq_queue_depth AS
WITH open AS (
  SELECT r.lane, r.status, r.created_at FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NULL
  UNION ALL
  SELECT r.lane, r.status, r.created_at FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NOT NULL
  UNION ALL
  SELECT r.lane, r.status, r.created_at FROM llm_requests r WHERE r.status = 'processing'
  UNION ALL
  SELECT p.lane, p.status, p.created_at
  FROM (SELECT DISTINCT r.parent_id FROM llm_requests r
        WHERE r.parent_id IS NOT NULL AND r.status IN ('pending', 'processing', 'waiting')) page
  JOIN llm_requests p ON p.id = page.parent_id AND p.status = 'waiting'
)
SELECT o.lane, o.status, count(*) AS requests,
       round(extract(epoch FROM (SELECT llmreq_now()) - min(o.created_at) FILTER (WHERE isfinite(o.created_at))), 3) AS oldest_seconds
FROM open o
GROUP BY o.lane, o.status;
