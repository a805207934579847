-- llmreq_take(worker, lane row, provider's row, picked, budgeted, now) → the claimed requests
-- Locks the picked rows, holds what they may cost, marks them processing and charges them to their lanes; in one statement, so that
-- the limits and the rows cannot drift. A row that somebody else holds, or that is not pending any more, is left out.
CREATE OR REPLACE FUNCTION llmreq_take(
  p_worker bigint, l llm_lanes, p llm_lanes, p_picked llmreq_picked[], p_budgeted boolean, p_now timestamptz
)
RETURNS TABLE (
  id uuid, claim_seq integer, claimed_at timestamptz, lane text, tenant_id text, attempt smallint, max_output_tokens integer,
  priced boolean, documented boolean
)
LANGUAGE plpgsql
SET enable_hashjoin = on SET enable_nestloop = off  -- rows come by their ids and are joined in memory
AS $$
#variable_conflict use_column
DECLARE
  v_limited boolean :=
    coalesce(l.token_level, l.input_level, l.output_level, p.token_level, p.input_level, p.output_level) IS NOT NULL;
  v_picked llmreq_picked[] := p_picked;
  v_prices llmreq_token_price[] := llmreq_token_prices(l.provider, l.model, p_now);
  v_ceiling numeric;
BEGIN
  IF p_budgeted THEN
    v_ceiling := (llmreq_money_settings()).ceiling;
    v_picked := llmreq_admit(l, v_picked, v_prices, v_ceiling, p_now);
    IF v_picked = '{}' THEN
      RETURN;
    END IF;
  END IF;

  RETURN QUERY
  WITH picked AS MATERIALIZED (
    SELECT k.* FROM unnest(v_picked) k
  ), locked AS MATERIALIZED (
    SELECT r.id, k.tenant_id, k.priority, k.scheduled_at, k.input_tokens, k.output_tokens, k.start_at, k.end_at, k.crowded,
           h.usd, h.tokens, h.unpriced
    FROM picked k JOIN llm_requests r ON r.id = k.id
    CROSS JOIN LATERAL llmreq_hold(l.provider, l.model, r.input_bytes, octet_length(r.response), r.output_cap, r.images, r.choices,
                                   r.unbounded, r.service_tier, r.writes_cache, v_prices, v_ceiling) h
    -- By the ids themselves: a plan that was made while the table was empty would read all of it to join. And written so that
    -- no plan can take it for the predicate of the pending index and walk that.
    WHERE r.id = ANY (ARRAY(SELECT x.id FROM picked x)) AND lower(r.status) = 'pending' AND lower(r.lane) = lower(l.lane)
      AND r.budget_id IS NULL
    FOR NO KEY UPDATE OF r SKIP LOCKED
  ), taken AS (
    UPDATE llm_requests r
    SET status = 'processing', claim_seq = r.claim_seq + 1, claimed_at = p_now, worker_id = p_worker, wait_reason = NULL,
        -- A worker's own step is no call: the row still says whom it asks.
        provider = CASE WHEN l.lane = 'local/pages' THEN r.provider ELSE l.provider END,
        model = CASE WHEN l.lane = 'local/pages' THEN r.model ELSE l.model END,
        held_input_tokens = CASE WHEN v_limited THEN k.input_tokens END,
        held_output_tokens = CASE WHEN v_limited THEN k.output_tokens END,
        hold_usd = k.usd, hold_tokens = k.tokens, unpriced = k.unpriced,
        updated_at = p_now
    FROM locked k WHERE r.id = k.id AND r.id = ANY (ARRAY(SELECT x.id FROM locked x))
    RETURNING r.id, r.claim_seq, r.attempts, r.output_cap, r.unpriced,
              num_nonnulls(r.agent_ref, r.parent_id, r.pages_lane, r.brief) > 0 AS documented, k.tenant_id, k.priority, k.scheduled_at,
              k.input_tokens, k.output_tokens, k.start_at, k.end_at, k.crowded
  ), total AS MATERIALIZED (
    SELECT count(*)::integer AS requests, sum(t.input_tokens) AS input, sum(t.output_tokens) AS output,
           bool_or(t.crowded) AS crowded, max(t.start_at) AS start_at,
           coalesce(max(t.tenant_id) FILTER (WHERE t.tenant_id <= l.tenant_cursor), max(t.tenant_id)) AS cursor
    FROM taken t
  ), lanes AS (
    UPDATE llm_lanes x
    SET in_flight = x.in_flight + n.requests,
        request_level = CASE WHEN x.lane = l.lane THEN l.request_level ELSE p.request_level END - n.requests,
        token_level = CASE WHEN x.lane = l.lane THEN l.token_level ELSE p.token_level END - (n.input + n.output),
        input_level = CASE WHEN x.lane = l.lane THEN l.input_level ELSE p.input_level END - n.input,
        output_level = CASE WHEN x.lane = l.lane THEN l.output_level ELSE p.output_level END - n.output,
        refilled_at = greatest(p_now, x.refilled_at), tenant_cursor = n.cursor, turns = x.turns + n.requests,
        virtual_time = CASE WHEN n.crowded THEN greatest(x.virtual_time, n.start_at) ELSE x.virtual_time END, updated_at = p_now
    FROM total n WHERE x.lane IN (l.lane, p.lane) AND n.requests > 0
  ), shares AS (
    INSERT INTO llm_shares AS s (lane, tenant_id, virtual_time)
    SELECT l.lane, t.tenant_id, max(t.end_at) FROM taken t WHERE t.crowded GROUP BY t.tenant_id
    ON CONFLICT ON CONSTRAINT llm_shares_pkey DO UPDATE SET virtual_time = EXCLUDED.virtual_time
  ), marks AS (
    -- A second's grace for what was scheduled earlier and committed late. A mark goes back to rows that were found behind it.
    INSERT INTO llm_marks AS m (lane, tenant_id, priority, low, low_id, walked_at, moved_at)
    SELECT l.lane, g.tenant_id, g.priority, least(g.last_at, p_now - interval '1 s'),
           CASE WHEN g.last_at <= p_now - interval '1 s' THEN g.last_id ELSE '00000000-0000-0000-0000-000000000000' END, p_now, p_now
    FROM (
      SELECT t.tenant_id, t.priority, count(*) AS n, max(t.scheduled_at) AS last_at,
             (array_agg(t.id ORDER BY t.scheduled_at DESC, t.id DESC))[1] AS last_id
      FROM taken t GROUP BY t.tenant_id, t.priority
    ) g
    WHERE g.n >= 10 OR (g.last_at, g.last_id) < (
      SELECT m.low, m.low_id FROM llm_marks m
      WHERE m.lane = l.lane AND m.tenant_id = g.tenant_id AND m.priority = g.priority)
    ON CONFLICT ON CONSTRAINT llm_marks_pkey DO UPDATE SET low = EXCLUDED.low, low_id = EXCLUDED.low_id, moved_at = p_now
    WHERE m.moved_at < p_now - interval '25 ms' OR (EXCLUDED.low, EXCLUDED.low_id) < (m.low, m.low_id)
  )
  SELECT t.id, t.claim_seq, p_now, l.lane, t.tenant_id, (t.attempts + 1)::smallint, coalesce(t.output_cap, 4096),
         NOT t.unpriced, t.documented
  FROM taken t;
END
$$;

