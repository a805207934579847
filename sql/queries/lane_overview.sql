-- What llmreq status and llmreq doctor say of lanes, in one look at them: of each topic the `limit` rows that matter most, with how
-- many there are. open: requests by status, over all lanes.
WITH depth AS MATERIALIZED (
  SELECT d.* FROM llmreq_lane_depth d
), clock AS MATERIALIZED (
  SELECT llmreq_now() AS now
), used AS MATERIALIZED (
  SELECT u.provider || '/' || u.model AS lane, sum(u.unpriced_calls)::bigint AS calls FROM llm_usage_daily u
  WHERE u.day >= ((SELECT c.now FROM clock c) AT TIME ZONE 'UTC')::date - 1 AND u.unpriced_calls > 0
  GROUP BY 1
), total AS MATERIALIZED (
  SELECT sum(d.pending + d.aside) AS pending, sum(d.processing) AS processing, sum(d.waiting) AS waiting,
         count(*) FILTER (WHERE d.pending + d.aside > 0) + count(*) FILTER (WHERE d.processing > 0) + count(*) FILTER (WHERE d.waiting > 0)
           AS queue,
         count(*) FILTER (WHERE d.pending > 0 AND (d.reason IS NOT NULL OR d.said)) AS closed,
         count(*) FILTER (WHERE d.state NOT IN ('open', 'no_worker') AND d.lane <> '*/*') AS blocked,
         count(*) FILTER (WHERE d.pending + d.processing > 0 AND NOT d.priced) AS unpriced
  FROM depth d
), aside AS MATERIALIZED (
  SELECT r.lane, r.budget_id, count(*) AS requests, min(r.created_at) FILTER (WHERE isfinite(r.created_at)) AS since
  FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NOT NULL AND (SELECT t.pending FROM total t) > 0
  GROUP BY r.lane, r.budget_id
)
SELECT 'open' AS topic, NULL AS lane, o.status AS word, NULL AS message, o.requests::bigint AS requests, NULL::bigint AS due,
       NULL::timestamptz AS until, NULL::numeric AS oldest_seconds, NULL::integer AS in_flight, NULL::integer AS max_in_flight,
       0::bigint AS total
FROM total t CROSS JOIN LATERAL (VALUES ('pending', t.pending), ('processing', t.processing), ('waiting', t.waiting)) AS o (status, requests)
WHERE o.requests > 0
UNION ALL
(SELECT 'queue', q.lane, q.status, NULL, q.requests, NULL, NULL, round(extract(epoch FROM (SELECT c.now FROM clock c) - q.since), 3),
        NULL, NULL, (SELECT t.queue FROM total t)
 FROM ((SELECT d.lane, 'pending' AS status, d.pending + d.aside AS requests, least(d.pending_since, d.aside_since) AS since
        FROM depth d WHERE d.pending + d.aside > 0 ORDER BY 3 DESC, d.lane COLLATE "C" LIMIT %(limit)s)
       UNION ALL
       (SELECT d.lane, 'processing', d.processing, d.processing_since
        FROM depth d WHERE d.processing > 0 ORDER BY 3 DESC, d.lane COLLATE "C" LIMIT %(limit)s)
       UNION ALL
       (SELECT d.lane, 'waiting', d.waiting, d.waiting_since
        FROM depth d WHERE d.waiting > 0 ORDER BY 3 DESC, d.lane COLLATE "C" LIMIT %(limit)s)) q
 ORDER BY q.requests DESC, q.lane COLLATE "C", q.status LIMIT %(limit)s)
UNION ALL
(SELECT 'waiting', w.lane, coalesce(w.reason, head.wait_reason), coalesce(head.error_message, w.message), w.pending, w.due,
        CASE WHEN w.blocked_until IS NOT NULL THEN w.blocked_until WHEN w.due = 0 THEN w.next_at END,
        round(extract(epoch FROM (SELECT c.now FROM clock c) - w.pending_since), 3), NULL, NULL,
        (SELECT t.closed FROM total t) + (SELECT count(*) FROM aside)
 FROM (SELECT d.* FROM depth d WHERE d.pending > 0 AND (d.reason IS NOT NULL OR d.said) ORDER BY d.pending DESC, d.lane COLLATE "C" LIMIT %(limit)s) w
 LEFT JOIN LATERAL (
   SELECT r.wait_reason, r.error_message FROM llm_requests r
   WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = w.lane
   ORDER BY r.lane, r.tenant_id, r.priority, r.scheduled_at, r.id LIMIT 1
 ) head ON w.reason = 'no_worker' OR w.reason IS NULL AND head.wait_reason IN ('rate_limit', 'budget', 'backoff'))
UNION ALL
(SELECT 'waiting', x.lane, 'budget', format('the budget of %%s is used up or held: llmreq budgets list', llmreq_budget_name(b)),
        x.requests, x.requests, (SELECT s.resets_at FROM llmreq_budget_status s WHERE s.id = x.budget_id), round(extract(epoch FROM (SELECT c.now FROM clock c) - x.since), 3), NULL, NULL,
        (SELECT t.closed FROM total t) + (SELECT count(*) FROM aside)
 FROM (SELECT a.* FROM aside a ORDER BY a.requests DESC, a.lane COLLATE "C" LIMIT %(limit)s) x
 JOIN llm_budgets b ON b.id = x.budget_id)
UNION ALL
(SELECT 'blocked', d.lane, d.state, d.block_message, d.pending + d.aside, NULL, d.blocked_until, NULL, d.in_flight, d.max_in_flight,
        (SELECT t.blocked FROM total t)
 FROM depth d WHERE d.state NOT IN ('open', 'no_worker') AND d.lane <> '*/*'
 ORDER BY d.pending + d.aside DESC, d.lane COLLATE "C" LIMIT %(limit)s)
UNION ALL
(SELECT 'unpriced', u.lane, NULL, NULL, sum(u.calls)::bigint, NULL, NULL, NULL, NULL, NULL,
        (SELECT t.unpriced FROM total t) + (
          SELECT count(*) FROM used x WHERE x.lane NOT IN (
            SELECT d.lane FROM depth d WHERE d.pending + d.processing > 0 AND NOT d.priced AND d.lane IS NOT NULL))
 FROM (SELECT x.lane, x.calls FROM used x
       UNION ALL
       (SELECT d.lane, 0 FROM depth d WHERE d.pending + d.processing > 0 AND NOT d.priced ORDER BY d.lane COLLATE "C" LIMIT %(limit)s)) u
 GROUP BY u.lane ORDER BY sum(u.calls) DESC, u.lane COLLATE "C" LIMIT %(limit)s)
