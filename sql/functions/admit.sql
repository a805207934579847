-- llmreq_admit(lane row, picked rows, prices, ceiling, now) → the rows whose upper bound fits every budget that covers them
-- A part of the claim, called only where budgets exist. It locks the rows and the budgets, takes the holds of what it admits, and
-- puts aside what it does not, so that the next claim finds what stands behind:
--   waits     for the budget that refused it (budget_id): llmreq_wake brings it back when there is room
--   fails     budget_exceeded or unpriced: it could never run, or the budget's on_exhausted says so; a routed request goes to its route's
--             next open candidate instead, which may cost less or stand under other budgets
--   degrades  to local/rules, which costs nothing
-- A budget that a finish holds at this moment is tried again for a few milliseconds; then its rows stay where they are.
CREATE OR REPLACE FUNCTION llmreq_admit(
  l llm_lanes, p_picked llmreq_picked[], p_prices llmreq_token_price[], p_ceiling numeric, p_now timestamptz
) RETURNS llmreq_picked[]
LANGUAGE plpgsql
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off  -- of a hundred thousand budgets a few are looked up
AS $$
DECLARE
  v_wanted integer[];
  v_budgets llm_budgets[];
  v_locked integer[];  -- their ids, in the same order
  v_admitted llmreq_picked[] := '{}';
  v_waits llmreq_set_aside[] := '{}';
  v_ends llmreq_set_aside[] := '{}';
  v_row record;
  v_id integer;
  v_at integer;
  v_by integer;
  v_why text;
  v_refusal text;
  v_action text;
  v_step text;
  v_order constant text[] := '{take,wait,fail,degrade}';
BEGIN
  v_wanted := ARRAY(
    SELECT DISTINCT b.id
    FROM (SELECT DISTINCT q.tenant_id, q.agent_id, q.task_type, q.run_id FROM llm_requests q
          WHERE q.id = ANY (ARRAY(SELECT k.id FROM unnest(p_picked) k))) q
    CROSS JOIN LATERAL llmreq_scopes(q.tenant_id, q.agent_id, q.task_type, l.lane, q.run_id) s
    JOIN llm_budgets b ON b.scope = s.scope AND b.subject = s.subject);
  IF v_wanted = '{}' THEN
    RETURN p_picked;
  END IF;
  FOR i IN 1 .. 4 LOOP
    PERFORM pg_sleep(0.002) WHERE i > 1;
    -- One that another clock has moved into the next period is left to the next claim: this one's `now` is before it.
    SELECT coalesce(array_agg(llmreq_budget_now(b, p_now) ORDER BY b.id), '{}'), coalesce(array_agg(b.id ORDER BY b.id), '{}')
    INTO v_budgets, v_locked
    FROM (SELECT x.* FROM llm_budgets x WHERE x.id = ANY (v_wanted) ORDER BY x.id FOR NO KEY UPDATE SKIP LOCKED) b
    WHERE b.period_start <= p_now AND b.counted;
    EXIT WHEN cardinality(v_locked) = cardinality(v_wanted);
  END LOOP;

  FOR v_row IN
    SELECT k.n, q.id, h.usd, h.tokens, coalesce(q.unbounded, CASE WHEN h.tokens IS NULL THEN 'image' END) AS unbounded,
           ARRAY(SELECT b.id FROM llmreq_scopes(q.tenant_id, q.agent_id, q.task_type, l.lane, q.run_id) s
                 JOIN llm_budgets b ON b.scope = s.scope AND b.subject = s.subject ORDER BY b.id) AS budgets
    FROM unnest(p_picked) WITH ORDINALITY AS k (id, tenant_id, priority, scheduled_at, input_tokens, output_tokens, start_at, end_at, crowded, n)
    JOIN llm_requests q ON q.id = k.id
    CROSS JOIN LATERAL llmreq_hold(l.provider, l.model, q.input_bytes, octet_length(q.response), q.output_cap, q.images, q.choices,
                                   q.unbounded, q.service_tier, q.writes_cache, p_prices, p_ceiling) h
    WHERE q.id = ANY (ARRAY(SELECT x.id FROM unnest(p_picked) x)) AND lower(q.status) = 'pending' AND lower(q.lane) = lower(l.lane)
      AND q.budget_id IS NULL
    ORDER BY k.n
    FOR NO KEY UPDATE OF q SKIP LOCKED
  LOOP
    v_action := 'take';
    FOREACH v_id IN ARRAY v_row.budgets LOOP
      v_at := array_position(v_locked, v_id);
      IF v_at IS NULL THEN
        v_action := 'leave';
        EXIT;
      END IF;
      v_refusal := llmreq_refusal(v_budgets[v_at], v_row.usd, v_row.tokens);
      CONTINUE WHEN v_refusal IS NULL;
      v_step := CASE WHEN v_refusal = 'held' THEN 'wait'
                     WHEN v_budgets[v_at].on_exhausted = 'degrade' THEN 'degrade'
                     WHEN v_refusal IN ('never', 'unpriced', 'unbounded') THEN 'fail'
                     ELSE v_budgets[v_at].on_exhausted END;
      -- Of several refusals the one that settles the matter: at no cost, at an end, later.
      IF array_position(v_order, v_step) > array_position(v_order, v_action) THEN
        v_action := v_step;
        v_by := v_at;
        v_why := v_refusal;
      END IF;
    END LOOP;

    IF v_action = 'take' THEN
      v_admitted := v_admitted || p_picked[v_row.n];
      FOREACH v_id IN ARRAY v_row.budgets LOOP
        v_at := array_position(v_locked, v_id);
        v_budgets[v_at].held_usd := v_budgets[v_at].held_usd + coalesce(v_row.usd, 0);
        v_budgets[v_at].held_tokens := v_budgets[v_at].held_tokens + v_row.tokens;
      END LOOP;
    ELSIF v_action = 'wait' THEN
      v_budgets[v_by].needs_usd := CASE WHEN v_budgets[v_by].waiting THEN least(v_budgets[v_by].needs_usd, v_row.usd) ELSE v_row.usd END;
      v_budgets[v_by].needs_tokens :=
        CASE WHEN v_budgets[v_by].waiting THEN least(v_budgets[v_by].needs_tokens, v_row.tokens) ELSE v_row.tokens END;
      v_budgets[v_by].waiting := true;
      v_waits := v_waits || ROW(v_row.id, v_locked[v_by], v_row.usd, v_row.tokens, NULL,
        format('waits for the budget of %s', llmreq_budget_name(v_budgets[v_by])))::llmreq_set_aside;
    ELSIF v_action <> 'leave' THEN
      v_ends := v_ends || ROW(v_row.id, v_locked[v_by], v_row.usd, v_row.tokens,
        CASE WHEN v_action = 'degrade' THEN NULL WHEN v_why = 'unpriced' THEN 'unpriced' WHEN v_why = 'unbounded' THEN 'unbounded_cost'
             ELSE 'budget_exceeded' END,
        llmreq_refusal_message(v_budgets[v_by], l.lane, v_why, v_row.usd, v_row.tokens, v_row.unbounded))::llmreq_set_aside;
    END IF;
  END LOOP;

  UPDATE llm_budgets x
  SET period_start = b.period_start, spent_usd = b.spent_usd, held_usd = b.held_usd, spent_tokens = b.spent_tokens,
      held_tokens = b.held_tokens, warned = b.warned, waiting = b.waiting, needs_usd = coalesce(b.needs_usd, 0),
      needs_tokens = b.needs_tokens,
      wake_at = CASE WHEN x.waiting OR NOT b.waiting THEN x.wake_at ELSE llmreq_period_end(b.period, p_now) END
  FROM unnest(v_budgets) b WHERE x.id = b.id AND x.id = ANY (v_locked);
  IF v_waits <> '{}' THEN
    UPDATE llm_requests q
    SET budget_id = a.budget_id, wait_reason = 'budget', hold_usd = a.usd, hold_tokens = a.tokens, error_message = a.message,
        updated_at = p_now
    FROM unnest(v_waits) a WHERE q.id = a.id AND q.id = ANY (ARRAY(SELECT x.id FROM unnest(v_waits) x));
  END IF;
  IF v_ends <> '{}' THEN
    UPDATE llm_requests q
    SET status = CASE WHEN n.ends THEN 'failed' ELSE 'pending' END, claim_seq = q.claim_seq + 1, wait_reason = NULL,
        lane = CASE WHEN n.ends THEN q.lane ELSE coalesce(n.lane, 'local/rules') END,
        route_id = CASE WHEN a.code IS NULL THEN NULL ELSE q.route_id END,
        route_position = coalesce(n.route_position, q.route_position),
        error_code = CASE WHEN n.ends THEN a.code END, error_message = CASE WHEN n.ends THEN a.message END,
        completed_at = CASE WHEN n.ends THEN p_now END, updated_at = p_now
    FROM unnest(v_ends) a
    JOIN llm_requests r ON r.id = a.id
    CROSS JOIN LATERAL (
      SELECT a.code IS NOT NULL AND c.lane IS NULL AS ends, c.lane, c.route_position
      FROM llmreq_next_candidate(CASE WHEN a.code IS NOT NULL THEN r.route_id END, r.route_position, r.task_type) c) n
    WHERE q.id = a.id AND q.id = ANY (ARRAY(SELECT x.id FROM unnest(v_ends) x));
    PERFORM llmreq_turn_pages(x.parents) FROM (
      SELECT array_agg(DISTINCT q.parent_id) AS parents FROM llm_requests q
      WHERE q.id = ANY (ARRAY(SELECT a.id FROM unnest(v_ends) a)) AND q.parent_id IS NOT NULL AND q.status = 'failed') x
    WHERE x.parents IS NOT NULL;
  END IF;
  RETURN v_admitted;
END
$$;

-- llmreq_refusal_message(budget, lane, why, usd, tokens, unbounded) → one line: what is wrong, what to do
CREATE OR REPLACE FUNCTION llmreq_refusal_message(
  b llm_budgets, p_lane text, p_why text, p_usd numeric, p_tokens bigint, p_unbounded text
) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_needs text := concat_ws(' and ', CASE WHEN (b).limit_usd IS NOT NULL THEN '$' || trim_scale(round(p_usd, 6)) END,
                            CASE WHEN (b).limit_tokens IS NOT NULL THEN p_tokens || ' tokens' END);
BEGIN
  RETURN CASE p_why
    WHEN 'unpriced' THEN format('the price of %s is unknown and the budget of %s covers it: llmreq prices set, or llmreq budgets ceiling, '
                                'then llmreq retry', p_lane, llmreq_budget_name(b))
    WHEN 'unbounded' THEN format('what %s costs on %s nobody can bound, and the budget of %s covers it: leave it out, or ask without that '
                                 'budget, then llmreq retry', p_unbounded, p_lane, llmreq_budget_name(b))
    WHEN 'never' THEN format('it may cost up to %s, more than the whole budget of %s: lower max_output_tokens or raise the budget, '
                             'then llmreq retry', v_needs, llmreq_budget_name(b))
    ELSE format('it may cost up to %s, and of the budget of %s too little is left: raise it, or wait for the next period, then llmreq retry',
                v_needs, llmreq_budget_name(b)) END;
END
$$;
