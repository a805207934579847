-- llmreq_settle_budgets(changes, now)
-- Moves what ended calls held to what they cost, in every budget that covers them and whose present period they were claimed in.
-- In the caller's transaction, after its lanes, by id: holds and spend cannot drift from the requests' status, and two finishes
-- cannot deadlock. A warning threshold that is crossed makes one event, once in a period.
-- `changes` is a JSON list of
--   tenant_id, agent_id, task_type, lane, run_id, claimed_at
--   usd, tokens             what is added to the spend; negative where an upper bound is replaced by less
--   held_usd, held_tokens   what the call held
CREATE OR REPLACE FUNCTION llmreq_settle_budgets(p_changes json, p_now timestamptz) RETURNS void
LANGUAGE plpgsql
SET enable_nestloop = on
AS $$
BEGIN
  WITH part AS MATERIALIZED (
    SELECT b.id, c.claimed_at, c.usd, c.tokens, c.held_usd, c.held_tokens
    FROM json_to_recordset(p_changes) AS c (
      tenant_id text, agent_id text, task_type text, lane text, run_id uuid, claimed_at timestamptz, usd numeric, tokens bigint,
      held_usd numeric, held_tokens bigint)
    CROSS JOIN LATERAL llmreq_scopes(c.tenant_id, c.agent_id, c.task_type, c.lane, c.run_id) s
    JOIN llm_budgets b ON b.scope = s.scope AND b.subject = s.subject AND b.counted  -- one that is not will count this call
  ), locked AS MATERIALIZED (
    SELECT b.id, b.warned, llmreq_budget_now(b, p_now) AS now FROM llm_budgets b
    WHERE b.id = ANY (ARRAY(SELECT p.id FROM part p))
    ORDER BY b.id FOR NO KEY UPDATE
  ), settled AS MATERIALIZED (
    SELECT k.id, k.now, (k.now).spent_usd + sum(coalesce(p.usd, 0)) AS spent_usd, (k.now).held_usd - sum(coalesce(p.held_usd, 0)) AS held_usd,
           (k.now).spent_tokens + sum(coalesce(p.tokens, 0)) AS spent_tokens,
           (k.now).held_tokens - sum(coalesce(p.held_tokens, 0)) AS held_tokens
    FROM locked k JOIN part p ON p.id = k.id AND p.claimed_at >= (k.now).period_start
    GROUP BY k.id, k.now
  ), warned AS MATERIALIZED (
    SELECT s.*, greatest((s.now).warned, (
             SELECT max(w) FROM unnest((s.now).warn_at) w
             WHERE s.spent_usd >= w * (s.now).limit_usd OR s.spent_tokens >= w * (s.now).limit_tokens)) AS threshold
    FROM settled s
  ), events AS (
    INSERT INTO llm_events (kind, subject, message, details)
    SELECT 'budget_warning', concat_ws(':', (w.now).scope, nullif((w.now).subject, '')),
           format('%s %% of the budget of %s is spent', trim_scale(round(w.threshold * 100, 2)), llmreq_budget_name(w.now)),
           jsonb_build_object('budget_id', w.id, 'threshold', w.threshold, 'spent_usd', w.spent_usd, 'spent_tokens', w.spent_tokens,
                              'limit_usd', (w.now).limit_usd, 'limit_tokens', (w.now).limit_tokens, 'period_start', (w.now).period_start)
    FROM warned w WHERE w.threshold > (w.now).warned
  )
  UPDATE llm_budgets b
  SET period_start = (w.now).period_start, spent_usd = w.spent_usd, held_usd = w.held_usd, spent_tokens = w.spent_tokens,
      held_tokens = w.held_tokens, warned = w.threshold, updated_at = p_now,
      wake_at = CASE WHEN b.waiting THEN least(b.wake_at, p_now) ELSE b.wake_at END
  FROM warned w WHERE b.id = w.id;
END
$$;
