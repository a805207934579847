-- Open requests by lane and status, with the age of the oldest. Reads only the partial indexes of open rows: a million completed
-- requests cost it nothing. A waiting parent is found through its open pages.
CREATE OR REPLACE VIEW llmreq_queue_depth AS
WITH open AS (
  SELECT r.lane, r.status, r.created_at FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NULL
  UNION ALL
  SELECT r.lane, r.status, r.created_at FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NOT NULL
  UNION ALL
  SELECT r.lane, r.status, r.created_at FROM llm_requests r WHERE r.status = 'processing'
  UNION ALL
  SELECT p.lane, p.status, p.created_at
  FROM (SELECT r.parent_id FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.parent_id IS NOT NULL
        UNION
        SELECT r.parent_id FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NOT NULL AND r.parent_id IS NOT NULL
        UNION
        SELECT r.parent_id FROM llm_requests r WHERE r.status = 'processing' AND r.parent_id IS NOT NULL) page
  JOIN llm_requests p ON p.id = page.parent_id AND p.status = 'waiting'
)
SELECT o.lane, o.status, count(*) AS requests,
       round(extract(epoch FROM (SELECT llmreq_now()) - min(o.created_at)), 3) AS oldest_seconds
FROM open o
GROUP BY o.lane, o.status;
