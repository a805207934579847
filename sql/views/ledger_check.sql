-- No rows when the books balance. Each row names one thing that does not, with what it should be and what it is.
CREATE OR REPLACE VIEW llmreq_ledger_check AS
WITH since AS MATERIALIZED (
  -- What retention dropped from the ledger cannot be compared any more.
  SELECT coalesce((SELECT m.value::date FROM llmreq_meta m WHERE m.key = 'ledger_from'), '-infinity') AS day
), booked AS (
  SELECT a.request_id, sum(a.input_tokens) AS input_tokens, sum(a.output_tokens) AS output_tokens,
         sum(a.cache_read_tokens) AS cache_read_tokens,
         sum(coalesce(a.cache_write_5m_tokens, 0) + coalesce(a.cache_write_1h_tokens, 0)) AS cache_write_tokens,
         sum(a.reasoning_tokens) AS reasoning_tokens,
         CASE WHEN count(*) FILTER (WHERE a.cost_usd IS NULL) = count(*) FILTER (WHERE a.outcome = 'priced')
              THEN sum(a.cost_usd) END AS cost_usd
  FROM llm_attempts a GROUP BY a.request_id
), pages AS (
  SELECT r.parent_id, count(*) AS rows, sum(r.input_tokens) AS input_tokens, sum(r.output_tokens) AS output_tokens,
         sum(r.cache_read_tokens) AS cache_read_tokens, sum(r.cache_write_tokens) AS cache_write_tokens,
         sum(r.reasoning_tokens) AS reasoning_tokens, CASE WHEN count(*) = count(r.cost_usd) THEN sum(r.cost_usd) END AS cost_usd
  FROM llm_requests r WHERE r.parent_id IS NOT NULL GROUP BY r.parent_id
), compared AS (
  -- A document's sums are its own calls' and its pages'; where somebody deleted a page its sums still say what it cost.
  SELECT r.id, r.cost_usd,
         coalesce(b.cost_usd, CASE WHEN b.request_id IS NULL THEN 0 END)
           + coalesce(p.cost_usd, CASE WHEN p.parent_id IS NULL THEN 0 END) AS booked_usd,
         ARRAY[r.input_tokens, r.output_tokens, r.cache_read_tokens, r.cache_write_tokens, r.reasoning_tokens] AS tokens,
         ARRAY[coalesce(b.input_tokens, 0) + coalesce(p.input_tokens, 0), coalesce(b.output_tokens, 0) + coalesce(p.output_tokens, 0),
               coalesce(b.cache_read_tokens, 0) + coalesce(p.cache_read_tokens, 0),
               coalesce(b.cache_write_tokens, 0) + coalesce(p.cache_write_tokens, 0),
               coalesce(b.reasoning_tokens, 0) + coalesce(p.reasoning_tokens, 0)]::bigint[] AS booked_tokens
  FROM llm_requests r LEFT JOIN booked b ON b.request_id = r.id LEFT JOIN pages p ON p.parent_id = r.id AND r.pages IS NOT NULL
  WHERE r.created_at >= (SELECT s.day::timestamp AT TIME ZONE 'UTC' FROM since s) AND (r.pages IS NULL OR coalesce(p.rows, 0) = r.pages)
    AND NOT EXISTS (SELECT FROM llm_turns t WHERE t.parent_id = r.id)  -- its sums are drawn by the next sweep
)
SELECT 'request_cost' AS check_name, c.id::text AS subject, c.booked_usd::text AS expected, c.cost_usd::text AS actual
FROM compared c WHERE c.cost_usd IS DISTINCT FROM c.booked_usd
UNION ALL
SELECT 'request_tokens', c.id::text, c.booked_tokens::text, c.tokens::text
FROM compared c WHERE c.tokens <> c.booked_tokens
UNION ALL
SELECT 'lane_in_flight', l.lane, coalesce(p.n, 0)::text, l.in_flight::text
FROM llm_lanes l
LEFT JOIN (
  SELECT x.lane, count(*) AS n
  FROM llm_requests r CROSS JOIN LATERAL (VALUES (r.lane), (llmreq_provider_lane(r.lane))) AS x (lane)
  WHERE r.status = 'processing' GROUP BY x.lane
) p ON p.lane = l.lane
WHERE l.in_flight <> coalesce(p.n, 0)
UNION ALL
SELECT 'processing_without_worker', r.id::text, 'a worker', NULL
FROM llm_requests r WHERE r.status = 'processing' AND r.worker_id IS NULL
UNION ALL
SELECT 'ended_with_hold', r.id::text, NULL, concat_ws(' ', r.hold_usd, r.hold_tokens, r.held_input_tokens, r.held_output_tokens)
FROM llm_requests r
WHERE r.status <> 'processing' AND (num_nonnulls(r.held_input_tokens, r.held_output_tokens) > 0
  OR r.budget_id IS NULL AND num_nonnulls(r.hold_usd, r.hold_tokens) > 0)
UNION ALL
SELECT 'pages_ended', r.id::text, 'pending or ended', r.status
FROM llm_requests r
WHERE r.status = 'waiting' AND r.pages IS NOT NULL
  AND NOT EXISTS (SELECT FROM llm_requests q WHERE q.parent_id = r.id AND q.status IN ('pending', 'processing'))
UNION ALL
SELECT 'waits_for_no_budget', r.id::text, 'pending, for a budget', concat_ws(' ', r.status, r.budget_id)
FROM llm_requests r
WHERE r.budget_id IS NOT NULL
  AND (r.status <> 'pending' OR NOT EXISTS (SELECT FROM llm_budgets b WHERE b.id = r.budget_id AND b.waiting))
UNION ALL
SELECT 'budget_' || x.what, concat_ws(' ', b.scope, nullif(b.subject, ''), b.period), x.expected::text, x.actual::text
FROM llm_budgets b
CROSS JOIN LATERAL (SELECT llmreq_count_budget(b, llmreq_now()) AS now OFFSET 0) c
CROSS JOIN LATERAL (VALUES
  ('spent_usd', (c.now).spent_usd, b.spent_usd), ('spent_tokens', (c.now).spent_tokens, b.spent_tokens),
  ('held_usd', (c.now).held_usd, b.held_usd), ('held_tokens', (c.now).held_tokens, b.held_tokens)) AS x (what, expected, actual)
WHERE b.counted AND b.period_start = (c.now).period_start AND x.expected <> x.actual
UNION ALL
SELECT 'claim_booked_twice', a.request_id::text || ' claim ' || a.claim_seq, '1', count(*)::text
FROM llm_attempts a
GROUP BY a.request_id, a.claim_seq, (CASE WHEN a.claim_seq < 0 THEN a.claimed_at END) HAVING count(*) > 1
UNION ALL
SELECT 'daily_rollup', concat_ws(' ', coalesce(u.day, a.day), coalesce(u.tenant_id, a.tenant_id), coalesce(u.model, a.model)),
       a.sums::text, u.sums::text
FROM (
  SELECT (a.claimed_at AT TIME ZONE 'UTC')::date AS day, a.tenant_id, a.agent_id, a.task_type, a.kind, a.provider, a.model, ARRAY[
           count(*) FILTER (WHERE a.cost_basis <> 'correction'),
           count(*) FILTER (WHERE a.outcome NOT IN ('completed', 'released', 'cancelled', 'lost') AND a.cost_basis <> 'correction'),
           count(*) FILTER (WHERE a.outcome = 'lost'),
           count(*) FILTER (WHERE a.cost_usd IS NULL) - count(*) FILTER (WHERE a.outcome = 'priced'),
           coalesce(sum(a.input_tokens), 0), coalesce(sum(a.cache_read_tokens), 0), coalesce(sum(a.cache_write_5m_tokens), 0),
           coalesce(sum(a.cache_write_1h_tokens), 0), coalesce(sum(a.output_tokens), 0), coalesce(sum(a.reasoning_tokens), 0),
           coalesce(sum(a.bound_tokens), 0), coalesce(sum(a.cost_usd), 0), coalesce(sum(a.ceiling_usd), 0)]::numeric[] AS sums
  FROM llm_attempts a GROUP BY 1, 2, 3, 4, 5, 6, 7
) a
FULL JOIN (
  SELECT u.day, u.tenant_id, u.agent_id, u.task_type, u.kind, u.provider, u.model, ARRAY[
           sum(u.calls), sum(u.failed_calls), sum(u.lost_calls), sum(u.unpriced_calls), sum(u.input_tokens), sum(u.cache_read_tokens),
           sum(u.cache_write_5m_tokens), sum(u.cache_write_1h_tokens), sum(u.output_tokens), sum(u.reasoning_tokens),
           sum(u.bound_tokens), sum(u.cost_usd), sum(u.ceiling_usd)]::numeric[] AS sums
  FROM llm_usage_daily u GROUP BY 1, 2, 3, 4, 5, 6, 7
) u USING (day, tenant_id, agent_id, task_type, kind, provider, model)
WHERE a.sums IS DISTINCT FROM u.sums AND day >= (SELECT s.day FROM since s);
