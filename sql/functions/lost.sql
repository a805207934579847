-- llmreq_book_lost(calls, message, now)
-- Books calls whose outcome may never be known at the most they can have cost, and gives back what they held: the ledger, their lanes,
-- the daily rollup, their budgets, in this order. The caller has their requests' rows, or has deleted them. Should an answer come after
-- all, llmreq_finish replaces the booking (invariant 3).
CREATE OR REPLACE FUNCTION llmreq_book_lost(p_calls llmreq_lost_call[], p_message text, p_now timestamptz) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan  -- as in llmreq_claim
AS $$
DECLARE
  v_changes json;
BEGIN
  PERFORM llmreq_open_books(p_now);
  WITH held AS MATERIALIZED (
    SELECT c.*, CASE WHEN NOT c.unpriced THEN c.hold_usd END AS lost_usd, CASE WHEN c.unpriced THEN c.hold_usd END AS ceiling_usd
    FROM unnest(p_calls) c
  ), booked AS (
    INSERT INTO llm_attempts (
      request_id, claim_seq, claimed_at, settled_at, worker_id, estimated_tokens, attempt, accepted, run_id, parent_id,
      cost_usd, cost_basis, outcome, tenant_id, agent_id, task_type, kind, lane, provider, model, error_message,
      ceiling_usd, bound_tokens)
    SELECT h.id, h.claim_seq, h.claimed_at, p_now, h.worker_id, h.estimated_tokens, h.attempts, false, h.run_id, h.parent_id,
           h.lost_usd, 'upper_bound', 'lost', h.tenant_id, h.agent_id, h.task_type, h.kind, h.lane,
           split_part(h.lane, '/', 1), substr(h.lane, strpos(h.lane, '/') + 1), p_message, h.ceiling_usd, h.hold_tokens
    FROM held h
    ON CONFLICT DO NOTHING
  ), lanes AS (
    -- Tokens that a lost call held do not come back: the provider may have counted them.
    UPDATE llm_lanes l SET in_flight = greatest(0, l.in_flight - n.held), updated_at = p_now
    FROM (
      SELECT k.lane, (SELECT count(*) FROM held h WHERE k.lane IN (h.lane, llmreq_provider_lane(h.lane)))::integer AS held
      FROM llm_lanes k
      WHERE k.lane IN (SELECT h.lane FROM held h UNION SELECT llmreq_provider_lane(h.lane) FROM held h)
      ORDER BY k.lane FOR NO KEY UPDATE
    ) n
    WHERE l.lane = n.lane
    RETURNING l.lane
  )
  INSERT INTO llm_usage_daily AS u (
    day, tenant_id, agent_id, task_type, kind, provider, model, run_id, calls, lost_calls, unpriced_calls, bound_tokens, cost_usd,
    upper_bound_usd, ceiling_usd)
  SELECT (h.claimed_at AT TIME ZONE 'UTC')::date, h.tenant_id, h.agent_id, h.task_type, h.kind, split_part(h.lane, '/', 1),
         substr(h.lane, strpos(h.lane, '/') + 1), coalesce(h.run_id, '00000000-0000-0000-0000-000000000000'), count(*), count(*),
         count(*) - count(h.lost_usd), coalesce(sum(h.hold_tokens), 0), coalesce(sum(h.lost_usd), 0), coalesce(sum(h.lost_usd), 0),
         coalesce(sum(h.ceiling_usd), 0)
  FROM held h
  WHERE (SELECT count(*) FROM lanes) >= 0  -- after its lane's lock, as in llmreq_finish
  GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
  ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
  ON CONFLICT ON CONSTRAINT llm_usage_daily_pkey DO UPDATE
  SET calls = u.calls + EXCLUDED.calls, lost_calls = u.lost_calls + EXCLUDED.lost_calls,
      unpriced_calls = u.unpriced_calls + EXCLUDED.unpriced_calls, bound_tokens = u.bound_tokens + EXCLUDED.bound_tokens,
      cost_usd = u.cost_usd + EXCLUDED.cost_usd, upper_bound_usd = u.upper_bound_usd + EXCLUDED.upper_bound_usd,
      ceiling_usd = u.ceiling_usd + EXCLUDED.ceiling_usd;
  SELECT json_agg(json_build_object(
           'tenant_id', c.tenant_id, 'agent_id', c.agent_id, 'task_type', c.task_type, 'lane', c.lane, 'run_id', c.run_id,
           'claimed_at', c.claimed_at, 'usd', c.hold_usd, 'tokens', c.hold_tokens, 'held_usd', c.hold_usd, 'held_tokens', c.hold_tokens))
  INTO v_changes FROM unnest(p_calls) c;
  PERFORM llmreq_settle_budgets(v_changes, p_now);
END
$$;

-- llmreq_lost_call(request row) → what is needed to book its call. A row made by hand may lack when it was claimed, and by whom.
CREATE OR REPLACE FUNCTION llmreq_as_lost_call(r llm_requests) RETURNS llmreq_lost_call
LANGUAGE sql IMMUTABLE
AS $$
  SELECT ROW((r).id, (r).claim_seq, coalesce((r).claimed_at, (r).updated_at), coalesce((r).worker_id, 0), (r).attempts, (r).hold_usd,
             (r).hold_tokens, (r).unpriced, least((r).estimated_tokens, 1000000000000), (r).tenant_id, (r).agent_id, (r).task_type,
             (r).kind, coalesce((r).lane, 'unknown/unknown'), (r).run_id, (r).parent_id)::llmreq_lost_call
$$;
