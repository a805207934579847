-- One row a lane that has open requests or has ever been called: what is open in it, what closes it, whether it has a price.
-- state   no_worker, paused, rate_limit, provider_down, probing (the breaker lets one call through) or open
-- reason  why nothing of it is called now, in message in words; NULL when it is open and has room
-- said    some pending request has a reason of its own
-- aside   pending, and put aside for a budget; *_since is the oldest created_at, where infinity does not count
-- One pass over the open requests and one over the lanes, however many there are; llmreq_waiting and llmreq_lane_health stand on it.
CREATE OR REPLACE VIEW llmreq_lane_depth AS
WITH clock AS MATERIALIZED (
  SELECT llmreq_now() AS now
), served AS MATERIALIZED (
  -- What llmreq_served() says of one lane, and below it llmreq_paused() and llmreq_price_rows().
  SELECT DISTINCT p.name FROM llm_workers w CROSS JOIN LATERAL unnest(w.providers) AS p (name)
  WHERE w.state = 'alive' AND w.lease_until > (SELECT c.now FROM clock c) AND p.name IS NOT NULL
), paused AS MATERIALIZED (
  SELECT l.lane FROM llm_lanes l WHERE l.paused
), price AS MATERIALIZED (
  SELECT DISTINCT p.provider, p.model FROM llm_prices p WHERE NOT p.batch
), pattern AS (
  SELECT p.provider, array_agg(rtrim(p.model, '*')) AS beginnings FROM price p WHERE p.model LIKE '%*' GROUP BY p.provider
), open (lane, scheduled_at, pending_at, aside, aside_at, processing, processing_at, waiting, waiting_at, said) AS (
  SELECT r.lane, r.scheduled_at, CASE WHEN isfinite(r.created_at) THEN r.created_at END, NULL::integer, NULL::timestamptz,
         NULL::integer, NULL::timestamptz, NULL::integer, NULL::timestamptz, r.wait_reason IN ('rate_limit', 'budget', 'backoff')
  FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NULL
  UNION ALL
  SELECT r.lane, NULL, NULL, 1, CASE WHEN isfinite(r.created_at) THEN r.created_at END, NULL, NULL, NULL, NULL, NULL
  FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NOT NULL
  UNION ALL
  SELECT r.lane, NULL, NULL, NULL, NULL, 1, CASE WHEN isfinite(r.created_at) THEN r.created_at END, NULL, NULL, NULL
  FROM llm_requests r WHERE r.status = 'processing'
  UNION ALL
  -- A waiting parent is found through its open pages.
  SELECT p.lane, NULL, NULL, NULL, NULL, NULL, NULL, 1, CASE WHEN isfinite(p.created_at) THEN p.created_at END, NULL
  FROM (SELECT DISTINCT r.parent_id FROM llm_requests r
        WHERE r.parent_id IS NOT NULL AND r.status IN ('pending', 'processing', 'waiting')) page
  JOIN llm_requests p ON p.id = page.parent_id AND p.status = 'waiting'
), counted AS (
  SELECT o.lane, count(o.scheduled_at) AS pending, count(*) FILTER (WHERE o.scheduled_at <= (SELECT c.now FROM clock c)) AS due,
         min(o.scheduled_at) AS next_at, min(o.pending_at) AS pending_since, count(o.aside) AS aside, min(o.aside_at) AS aside_since,
         count(o.processing) AS processing, min(o.processing_at) AS processing_since, count(o.waiting) AS waiting,
         min(o.waiting_at) AS waiting_since, bool_or(o.said) AS said
  FROM open o GROUP BY o.lane
), lanes AS (
  SELECT coalesce(k.lane, l.lane) AS lane, l.lane IS NOT NULL AS called, coalesce(k.pending, 0) AS pending, coalesce(k.due, 0) AS due,
         k.next_at, k.pending_since, coalesce(k.aside, 0) AS aside, k.aside_since, coalesce(k.processing, 0) AS processing,
         k.processing_since, coalesce(k.waiting, 0) AS waiting, k.waiting_since, coalesce(k.said, false) AS said,
         l.blocked_until > (SELECT c.now FROM clock c) AS blocked, l.blocked_until, l.block_reason, l.block_message,
         coalesce(l.breaker_opened > 0, false) AS probing, coalesce(l.in_flight, 0) AS in_flight, l.max_in_flight,
         least(l.max_in_flight, l.in_flight_window) AS room,
         coalesce(l.consecutive_failures, 0) AS consecutive_failures,
         least(l.request_level - 1, l.token_level, l.input_level, l.output_level) < 0 AS limited
  FROM counted k FULL JOIN llm_lanes l ON l.lane = k.lane
), judged AS (
  SELECT x.*, split_part(x.lane, '/', 1) AS provider, substr(x.lane, strpos(x.lane, '/') + 1) AS model, CASE
           WHEN (split_part(x.lane, '/', 1) IN (SELECT y.name FROM served y) OR x.lane IN (SELECT y.name FROM served y)) IS NOT TRUE THEN 1
           WHEN x.lane IN (SELECT y.lane FROM paused y) OR llmreq_provider_lane(x.lane) IN (SELECT y.lane FROM paused y)
             OR EXISTS (SELECT FROM paused y WHERE y.lane = '*/*') THEN 2
           WHEN x.blocked THEN 3
           WHEN x.in_flight >= x.room THEN 4
           WHEN x.limited THEN 5
           WHEN x.due = 0 AND x.pending > 0 THEN 6 END AS why
  FROM lanes x
  OFFSET 0  -- once a lane, however often it is read below
)
SELECT j.lane, j.called, CASE j.why WHEN 1 THEN 'no_worker' WHEN 2 THEN 'paused' WHEN 3 THEN coalesce(j.block_reason, 'paused')
                              ELSE CASE WHEN j.probing THEN 'probing' ELSE 'open' END END AS state,
       CASE j.why WHEN 1 THEN 'no_worker' WHEN 2 THEN 'paused' WHEN 3 THEN coalesce(j.block_reason, 'paused')
                  WHEN 4 THEN 'rate_limit' WHEN 5 THEN 'rate_limit' END AS reason,
       CASE j.why WHEN 1 THEN 'no worker is running'
                  WHEN 2 THEN 'the lane, its provider or everything is paused: llmreq limits resume'
                  WHEN 3 THEN j.block_message
                  WHEN 4 THEN format('%s calls are in flight, as many as allowed', j.in_flight)
                  WHEN 5 THEN 'the lane is at its limit: llmreq limits'
                  WHEN 6 THEN 'scheduled for later' END AS message,
       CASE WHEN j.blocked THEN j.blocked_until END AS blocked_until, j.block_message, j.in_flight, j.max_in_flight,
       j.consecutive_failures, j.pending, j.due, j.next_at, j.pending_since, j.aside, j.aside_since, j.processing, j.processing_since,
       j.waiting, j.waiting_since, j.said,
       j.provider IN (SELECT y.provider FROM price y) AND (
         (j.provider, j.model) IN (SELECT y.provider, y.model FROM price y)
         OR (j.provider, llmreq_model_family(j.model)) IN (SELECT y.provider, y.model FROM price y)
         OR EXISTS (SELECT FROM unnest(t.beginnings) AS b (beginning) WHERE starts_with(j.model, b.beginning))) AS priced
FROM judged j
LEFT JOIN pattern t ON t.provider = j.provider;
