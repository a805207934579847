-- llmreq_reprice(lane, day, dry run) → (calls, was_usd, is_usd, priced)
-- Prices one lane's calls of one UTC day again, by the book as it is now, and appends to the ledger what that changes; a booked
-- cost is never rewritten. A correction is a row of its own: cost_basis 'correction', a negative claim_seq, and the difference as
-- its cost; outcome 'priced' where the cost was unknown, else 'repriced'. Requests, the daily rollup and budgets follow in the
-- same transaction. Calls without a price still stay unpriced; what was booked at an upper bound stays so.
--   calls    corrected, or to be corrected
--   was_usd  what they cost by the book as it was; unknown counts as nothing
--   priced   how many of them were unpriced
CREATE OR REPLACE FUNCTION llmreq_reprice(
  p_lane text, p_day date, p_dry_run boolean DEFAULT false,
  OUT calls bigint, OUT was_usd numeric, OUT is_usd numeric, OUT priced bigint
)
LANGUAGE plpgsql
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_from timestamptz := p_day::timestamp AT TIME ZONE 'UTC';
  v_changes json;
BEGIN
  PERFORM llmreq_open_books(v_now);
  -- Requests, then the lane, as in llmreq_finish.
  IF NOT p_dry_run THEN
    PERFORM FROM llm_requests r
    WHERE r.id IN (SELECT a.request_id FROM llm_attempts a
                   WHERE a.claimed_at >= v_from AND a.claimed_at < v_from + interval '24 hours' AND a.lane = p_lane)
    ORDER BY r.id FOR NO KEY UPDATE;
    PERFORM FROM llm_lanes l WHERE l.lane = p_lane FOR NO KEY UPDATE;
  END IF;
  CREATE TEMP TABLE IF NOT EXISTS llmreq_corrections (
    request_id uuid, claimed_at timestamptz, claim_seq integer, attempt llm_attempts, price_id integer, was numeric, is_now numeric
  ) ON COMMIT DROP;
  TRUNCATE llmreq_corrections;
  WITH price AS MATERIALIZED (
    SELECT p AS version FROM llmreq_price_rows(split_part(p_lane, '/', 1), substr(p_lane, strpos(p_lane, '/') + 1)) p
  ), effective AS (
    SELECT a.request_id, a.claimed_at, min(a.claim_seq) AS last_seq, sum(a.cost_usd) AS usd,
           (array_agg(a ORDER BY a.claim_seq DESC))[1] AS attempt
    FROM llm_attempts a
    WHERE a.claimed_at >= v_from AND a.claimed_at < v_from + interval '24 hours' AND a.lane = p_lane
      AND a.cost_basis IN ('usage', 'correction')
    GROUP BY a.request_id, a.claimed_at
  )
  INSERT INTO llmreq_corrections
  SELECT e.request_id, e.claimed_at, least(0, e.last_seq) - 1, e.attempt, (x.version).id, e.usd, c.usd
  FROM effective e
  CROSS JOIN LATERAL (
    SELECT p.version FROM price p
    WHERE (p.version).valid_from <= e.claimed_at AND (p.version).service_tier = llmreq_service_tier((e.attempt).service_tier)
      AND (p.version).min_prompt_tokens <= coalesce((e.attempt).input_tokens, 0) + coalesce((e.attempt).cache_read_tokens, 0)
          + coalesce((e.attempt).cache_write_5m_tokens, 0) + coalesce((e.attempt).cache_write_1h_tokens, 0)
    ORDER BY (p.version).min_prompt_tokens DESC, (p.version).valid_from DESC LIMIT 1) x
  CROSS JOIN LATERAL (
    SELECT llmreq_cost(x.version, (e.attempt).input_tokens, (e.attempt).cache_read_tokens, (e.attempt).cache_write_5m_tokens,
                       (e.attempt).cache_write_1h_tokens, (e.attempt).output_tokens) AS usd) c
  WHERE (e.attempt).claim_seq > 0 AND c.usd IS DISTINCT FROM e.usd AND c.usd IS NOT NULL;

  SELECT count(*), coalesce(sum(x.was), 0), coalesce(sum(x.is_now), 0), count(*) FILTER (WHERE x.was IS NULL)
  INTO calls, was_usd, is_usd, priced FROM llmreq_corrections x;
  IF p_dry_run OR calls = 0 THEN
    RETURN;
  END IF;

  INSERT INTO llm_attempts (
    request_id, claim_seq, claimed_at, settled_at, worker_id, attempt, accepted, price_id, run_id, parent_id, cost_usd, ceiling_usd,
    cost_basis, outcome, tenant_id, agent_id, task_type, kind, lane, provider, model, service_tier)
  SELECT x.request_id, x.claim_seq, x.claimed_at, v_now, (x.attempt).worker_id, (x.attempt).attempt, false, x.price_id,
         (x.attempt).run_id, (x.attempt).parent_id, x.is_now - coalesce(x.was, 0),
         CASE WHEN x.was IS NULL THEN -(x.attempt).ceiling_usd END, 'correction',
         CASE WHEN x.was IS NULL THEN 'priced' ELSE 'repriced' END, (x.attempt).tenant_id, (x.attempt).agent_id, (x.attempt).task_type,
         (x.attempt).kind, p_lane, (x.attempt).provider, (x.attempt).model, (x.attempt).service_tier
  FROM llmreq_corrections x;
  UPDATE llm_requests r SET cost_usd = llmreq_cost_of_others(r.id, 0), updated_at = v_now
  WHERE r.id IN (SELECT x.request_id FROM llmreq_corrections x);
  PERFORM llmreq_turn_pages(ARRAY(
    SELECT DISTINCT coalesce(r.parent_id, r.id) FROM llm_requests r
    WHERE r.id IN (SELECT x.request_id FROM llmreq_corrections x) AND (r.parent_id IS NOT NULL OR r.pages IS NOT NULL)));
  UPDATE llm_usage_daily u
  SET cost_usd = u.cost_usd + x.usd, ceiling_usd = u.ceiling_usd - x.ceiling, failed_usd = u.failed_usd + x.failed,
      unpriced_calls = u.unpriced_calls - x.priced, unpriced_tokens = u.unpriced_tokens - x.tokens
  FROM (
    SELECT (x.attempt).tenant_id, (x.attempt).agent_id, (x.attempt).task_type, (x.attempt).kind,
           coalesce((x.attempt).run_id, '00000000-0000-0000-0000-000000000000') AS run_id, sum(x.is_now - coalesce(x.was, 0)) AS usd,
           coalesce(sum((x.attempt).ceiling_usd) FILTER (WHERE x.was IS NULL), 0) AS ceiling,
           coalesce(sum(x.is_now - coalesce(x.was, 0)) FILTER (WHERE (x.attempt).outcome NOT IN ('completed', 'released', 'cancelled')), 0)
             AS failed,
           count(*) FILTER (WHERE x.was IS NULL) AS priced,
           coalesce(sum(llmreq_charged_tokens(x.attempt)) FILTER (WHERE x.was IS NULL), 0) AS tokens
    FROM llmreq_corrections x GROUP BY 1, 2, 3, 4, 5
  ) x
  WHERE u.day = p_day AND u.provider || '/' || u.model = p_lane
    AND (u.tenant_id, u.agent_id, u.task_type, u.kind, u.run_id) = (x.tenant_id, x.agent_id, x.task_type, x.kind, x.run_id);
  IF EXISTS (SELECT FROM llm_budgets) THEN
    SELECT json_agg(json_build_object(
             'tenant_id', (x.attempt).tenant_id, 'agent_id', (x.attempt).agent_id, 'task_type', (x.attempt).task_type, 'lane', p_lane,
             'run_id', (x.attempt).run_id, 'claimed_at', x.claimed_at,
             'usd', x.is_now - coalesce(x.was, (x.attempt).ceiling_usd, 0)))
    INTO v_changes FROM llmreq_corrections x;
    PERFORM llmreq_settle_budgets(v_changes, v_now);
  END IF;
END
$$;
