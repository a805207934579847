-- llmreq_warn_spend(outcomes, now)
-- One event for every request, and for every run, whose calls have together come to its threshold: 'warn_request_usd',
-- 'warn_request_tokens', 'warn_run_usd' and 'warn_run_tokens' in llmreq_meta. Called where one is set.
CREATE OR REPLACE FUNCTION llmreq_warn_spend(p_outcomes json, p_now timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  v_set jsonb := (SELECT jsonb_object_agg(m.key, m.value) FROM llmreq_meta m WHERE m.key LIKE 'warn\_%');
BEGIN
  WITH ended AS MATERIALIZED (
    SELECT r.id, r.run_id, coalesce(r.cost_usd, 0) AS usd,
           r.input_tokens + r.cache_read_tokens + r.cache_write_tokens + r.output_tokens AS tokens
    FROM llm_requests r
    WHERE r.id = ANY (ARRAY(SELECT (o.value ->> 'id')::uuid FROM json_array_elements(p_outcomes) o))
  ), sums AS (
    SELECT 'request_spend' AS kind, e.id::text AS subject, e.usd, e.tokens, 'request' AS what FROM ended e
    UNION ALL
    SELECT 'run_spend', u.run_id::text, sum(u.cost_usd),
           sum(u.input_tokens + u.cache_read_tokens + u.cache_write_5m_tokens + u.cache_write_1h_tokens + u.output_tokens), 'run'
    FROM llm_usage_daily u
    WHERE u.run_id IN (SELECT e.run_id FROM ended e) AND v_set ?| '{warn_run_usd,warn_run_tokens}'
    GROUP BY u.run_id
  )
  INSERT INTO llm_events (created_at, kind, subject, message, details)
  SELECT p_now, s.kind, s.subject, format('%s %s has used $%s and %s tokens', s.what, s.subject, trim_scale(s.usd), s.tokens),
         jsonb_build_object('cost_usd', s.usd, 'tokens', s.tokens)
  FROM sums s
  WHERE (s.usd >= (v_set ->> ('warn_' || s.what || '_usd'))::numeric OR s.tokens >= (v_set ->> ('warn_' || s.what || '_tokens'))::numeric)
    AND NOT EXISTS (SELECT FROM llm_events e WHERE e.kind = s.kind AND e.subject = s.subject);
END
$$;

-- llmreq_announce_events(limit) → the events nobody has logged yet, each to one caller only
CREATE OR REPLACE FUNCTION llmreq_announce_events(p_limit integer DEFAULT 100) RETURNS SETOF llm_events
LANGUAGE sql
AS $$
  UPDATE llm_events e SET announced_at = llmreq_now()
  WHERE e.id = ANY (ARRAY(
    SELECT x.id FROM llm_events x WHERE x.announced_at IS NULL ORDER BY x.id LIMIT p_limit FOR UPDATE SKIP LOCKED))
  RETURNING e.*
$$;
