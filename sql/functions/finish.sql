-- llmreq_finish(worker, outcomes) → (id, claim_seq, accepted, status)
-- Settles a batch of calls in one statement's time: fence, ledger, request, lane. `outcomes` is a JSON list of
--   id, claim_seq, claimed_at    the claim, exactly as llmreq_claim returned it
--   outcome                      'completed', an error code, 'released' (shut down before an answer), 'cancelled'
--   billed                       'usage' (the counts below), 'none', 'upper_bound' (nobody will ever know)
--   response, parsed_response, validation_errors, repairs, error_message, error_details, retry_after_seconds
--   input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens
--   max_output_tokens, http_status, finish_reason, provider_model, provider_request_id, service_tier, latency_ms
--   step, pages, merge_report    of a worker's own step on local/pages: llmreq_next_step, llmreq_make_pages
--   rate                         what the answer's rate-limit headers said: llmreq_heed_headers
-- The worker says what it saw; what happens next is decided here, by llmreq_error_rules().
--
-- Guarantees
--   Every call is booked exactly once, whoever else touched its request meanwhile (invariant 3):
--     live       the claim still stands: booked, accepted, the request moves on.
--     late       the worker was declared dead and its call booked as lost: the real outcome replaces that booking. If nobody
--                claimed the request since, it is adopted: a paid answer is not bought twice. Else accepted = false.
--     repeated   the same outcome again, because the acknowledgement was lost: nothing changes.
--     deleted    somebody deleted the request while it was called: that booked the call as lost, and the real outcome replaces it.
--   An outcome that is not in the result was not settled: its request's row is held by somebody else, or another outcome of the same
--   request was in the batch. Send it again.
--   A request's tokens and dollars are the sum over its attempts, in the same transaction.
-- Races
--   Requests are taken in id order, what somebody else holds is left out; then lanes by name, budgets by id, and documents whose pages
--   ended by id: two finishes cannot deadlock. A claim skips what is locked. The rows of the daily rollup follow their lane's lock.
--   A lane, budget or document that somebody holds for long makes the batch raise 55P03 and changes nothing: llmreq_blocked says which
--   outcomes must wait, and the others are settled without them.
CREATE OR REPLACE FUNCTION llmreq_finish(p_worker bigint, p_outcomes json)
RETURNS TABLE (id uuid, claim_seq integer, accepted boolean, status text)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_nestloop = off SET jit = off SET plan_cache_mode = force_generic_plan  -- as in llmreq_claim
SET lock_timeout = '500ms' SET llmreq.engine = 'on'
AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := llmreq_now();
  v_budgeted boolean;
  v_ceiling numeric;
  v_warns boolean;
BEGIN
  v_budgeted := llmreq_open_books(v_now);
  SELECT m.ceiling, m.warns INTO v_ceiling, v_warns FROM llmreq_money_settings() m;
  RETURN QUERY
  WITH outcome AS MATERIALIZED (
    SELECT DISTINCT ON (o.id) o.*
    FROM json_populate_recordset(NULL::llmreq_outcome, p_outcomes) o
    ORDER BY o.id, o.claim_seq
  ), request AS MATERIALIZED (
    -- Only what decides: the payload stays where it is.
    SELECT r.id, r.status, r.claim_seq, r.lane, r.attempts, r.max_attempts, r.hold_usd, r.hold_tokens, r.unpriced,
           r.error_code, r.validation_errors,
           r.cancel_requested_at, r.route_id, r.route_position, least(r.estimated_tokens, 1000000000000) AS estimated_tokens, r.held_input_tokens, r.held_output_tokens,
           r.run_id, r.parent_id, r.pages, r.tenant_id, r.agent_id, r.task_type, r.kind
    FROM llm_requests r
    WHERE r.id = ANY (ARRAY(SELECT o.id FROM outcome o))  -- as in llmreq_take
    ORDER BY r.id
    FOR NO KEY UPDATE SKIP LOCKED
  ), classed AS MATERIALIZED (
    SELECT o.id AS outcome_id, o.claim_seq AS outcome_seq, o.claimed_at, o.outcome, o.billed, r.id, r.status, r.claim_seq,
           coalesce(r.attempts, a.attempt) AS attempts, r.max_attempts, r.hold_usd, r.hold_tokens, r.unpriced, r.error_code,
           r.validation_errors, r.cancel_requested_at, r.route_id, r.route_position,
           coalesce(r.estimated_tokens, a.estimated_tokens) AS estimated_tokens, r.held_input_tokens, r.held_output_tokens,
           -- Whose call it was its booking says, where there is one: the request may have been edited since, or deleted.
           CASE WHEN a.request_id IS NOT NULL THEN a.run_id ELSE r.run_id END AS run_id, r.parent_id, r.pages,
           coalesce(a.tenant_id, r.tenant_id) AS tenant_id, coalesce(a.agent_id, r.agent_id) AS agent_id,
           coalesce(a.task_type, r.task_type) AS task_type, coalesce(a.kind, r.kind) AS kind,
           a.request_id IS NOT NULL AS booked, a.cost_usd AS booked_usd, a.ceiling_usd AS booked_ceiling,
           a.bound_tokens AS booked_bound, coalesce(a.lane, r.lane) AS called_lane,
           CASE
             WHEN r.id IS NULL AND (llmreq_exists(o.id) OR a.outcome = 'locked') THEN 'locked'
             WHEN r.id IS NULL AND a.outcome = 'lost' THEN 'deleted'
             WHEN r.id IS NULL AND a.outcome IS NOT NULL THEN 'repeated'
             WHEN r.id IS NULL THEN 'gone'
             WHEN r.status = 'processing' AND r.claim_seq = o.claim_seq THEN 'live'
             WHEN a.outcome <> 'lost' THEN 'repeated'
             WHEN a.outcome = 'lost' AND o.outcome NOT IN ('released', 'cancelled') AND r.claim_seq = o.claim_seq
               AND (r.status = 'pending' OR r.error_code = 'poisoned') THEN 'adopted'
             ELSE 'late'
           END AS class
    FROM outcome o
    LEFT JOIN request r ON r.id = o.id
    -- A live claim cannot have been booked; a function, because a join would have the planner read the whole ledger.
    LEFT JOIN LATERAL llmreq_booking(
      CASE WHEN r.status = 'processing' AND r.claim_seq = o.claim_seq THEN NULL ELSE o.id END, o.claim_seq, o.claimed_at, r.id IS NULL) a
      ON a.request_id IS NOT NULL
  ), price AS MATERIALIZED (
    SELECT l.called_lane, p AS version
    FROM (SELECT DISTINCT c.called_lane FROM classed c WHERE c.billed = 'usage' AND c.class IN ('live', 'adopted', 'late', 'deleted')) l
    CROSS JOIN LATERAL llmreq_price_rows(
      split_part(l.called_lane, '/', 1), substr(l.called_lane, strpos(l.called_lane, '/') + 1)) p
  ), mean AS MATERIALIZED (
    SELECT g.called_lane AS lane, g.agent_id, g.task_type, llmreq_mean_output(g.called_lane, g.agent_id, g.task_type) AS mean_tokens
    FROM (SELECT DISTINCT c.called_lane, c.agent_id, c.task_type FROM classed c WHERE c.class IN ('live', 'adopted', 'late', 'deleted')) g
  ), decided AS MATERIALIZED (
    SELECT c.*, c.class IN ('live', 'adopted') AS moves, (priced.version).id AS price_id, rule.breaker,
           (coalesce(rule.charged, c.outcome = 'completed' AND o.step IS NULL) AND NOT s.unsent)::integer + c.attempts AS attempts_now,
           CASE c.billed
             WHEN 'none' THEN 0
             WHEN 'upper_bound' THEN CASE WHEN c.class <> 'live' THEN c.booked_usd WHEN NOT c.unpriced THEN c.hold_usd END
             ELSE llmreq_cost(priced.version, o.input_tokens, o.cache_read_tokens, o.cache_write_5m_tokens,
                              o.cache_write_1h_tokens, o.output_tokens)
           END AS attempt_usd,
           -- What a budget counts where the cost stays unknown: what was held, or the tokens at the ceiling.
           CASE WHEN c.class <> 'live' THEN coalesce(c.booked_usd, c.booked_ceiling) WHEN c.billed = 'upper_bound' OR NOT c.unpriced
                THEN c.hold_usd ELSE (coalesce(o.input_tokens, 0) + coalesce(o.cache_read_tokens, 0) + coalesce(o.cache_write_5m_tokens, 0)
                                      + coalesce(o.cache_write_1h_tokens, 0) + coalesce(o.output_tokens, 0)) * v_ceiling END AS if_unknown_usd,
           CASE WHEN c.billed = 'upper_bound' THEN CASE WHEN c.class = 'live' THEN c.hold_tokens ELSE c.booked_bound END END AS bound,
           CASE WHEN num_nonnulls(o.input_tokens, o.output_tokens) > 0 THEN
             coalesce(o.input_tokens, 0) + coalesce(o.cache_read_tokens, 0) + coalesce(o.cache_write_5m_tokens, 0)
             + coalesce(o.cache_write_1h_tokens, 0) + coalesce(o.output_tokens, 0) END AS counted,
           greatest(0, c.estimated_tokens - o.max_output_tokens) AS estimated_input,
           -- Unknown until a first answer taught it.
           CASE WHEN m.mean_tokens IS NOT NULL THEN least(o.max_output_tokens, m.mean_tokens) END AS estimated_output,
           (c.claimed_at AT TIME ZONE 'UTC')::date AS day,
           n.next, n.lane AS next_lane, n.route_position AS next_position
    FROM classed c
    JOIN outcome o ON o.id = c.outcome_id
    LEFT JOIN mean m ON m.lane = c.called_lane AND m.agent_id = c.agent_id AND m.task_type = c.task_type
    LEFT JOIN llmreq_error_rules() rule ON rule.code = c.outcome
    CROSS JOIN LATERAL (
      -- There was no connection: nothing was asked, so it is no attempt.
      SELECT c.outcome = 'provider_unavailable' AND c.billed = 'none' AND o.http_status IS NULL AS unsent) s
    LEFT JOIN LATERAL (
      SELECT p.version FROM price p
      WHERE p.called_lane = c.called_lane AND (p.version).valid_from <= c.claimed_at
        AND (p.version).service_tier = llmreq_service_tier(o.service_tier)
        AND (p.version).min_prompt_tokens <= coalesce(o.input_tokens, 0) + coalesce(o.cache_read_tokens, 0)
            + coalesce(o.cache_write_5m_tokens, 0) + coalesce(o.cache_write_1h_tokens, 0)
      ORDER BY (p.version).min_prompt_tokens DESC, (p.version).valid_from DESC
      LIMIT 1
    ) priced ON c.billed = 'usage'
    CROSS JOIN LATERAL llmreq_next_step(
      c.outcome, (coalesce(rule.charged, true) AND NOT s.unsent)::integer + c.attempts, c.max_attempts, rule.retry, rule.fallback,
      c.cancel_requested_at IS NOT NULL, c.error_code,
      llmreq_mistakes(c.validation_errors) IS NOT DISTINCT FROM llmreq_mistakes(o.validation_errors),
      o.max_output_tokens, c.route_id, c.route_position, o.step, s.unsent, c.task_type) n
    WHERE c.class IN ('live', 'adopted', 'late', 'deleted')
  ), booked AS (
    INSERT INTO llm_attempts AS a (
      request_id, claim_seq, claimed_at, settled_at, worker_id, input_tokens, cache_read_tokens, cache_write_5m_tokens,
      cache_write_1h_tokens, output_tokens, reasoning_tokens, estimated_tokens, attempt, accepted, http_status, latency_ms,
      price_id, run_id, parent_id, cost_usd, cost_basis, outcome, tenant_id, agent_id, task_type, kind, lane, provider, model,
      provider_model, provider_request_id, finish_reason, error_message, validation_errors, repairs, service_tier, ceiling_usd,
      bound_tokens, estimated_input_tokens, estimated_output_tokens)
    SELECT o.id, o.claim_seq, o.claimed_at, v_now, p_worker, o.input_tokens, o.cache_read_tokens,
           o.cache_write_5m_tokens, o.cache_write_1h_tokens, o.output_tokens, o.reasoning_tokens, d.estimated_tokens,
           d.attempts_now, d.moves AND o.outcome <> 'released', o.http_status, o.latency_ms, d.price_id, d.run_id, d.parent_id,
           d.attempt_usd, o.billed, o.outcome, d.tenant_id, d.agent_id, d.task_type, d.kind, d.called_lane,
           split_part(d.called_lane, '/', 1), substr(d.called_lane, strpos(d.called_lane, '/') + 1), o.provider_model,
           o.provider_request_id, o.finish_reason, o.error_message, o.validation_errors, o.repairs,
           o.service_tier, CASE WHEN d.attempt_usd IS NULL THEN d.if_unknown_usd END, d.bound, d.estimated_input, d.estimated_output
    FROM decided d JOIN outcome o ON o.id = d.outcome_id
    ON CONFLICT ON CONSTRAINT llm_attempts_pkey DO UPDATE
    SET settled_at = EXCLUDED.settled_at, input_tokens = EXCLUDED.input_tokens,
        cache_read_tokens = EXCLUDED.cache_read_tokens, cache_write_5m_tokens = EXCLUDED.cache_write_5m_tokens,
        cache_write_1h_tokens = EXCLUDED.cache_write_1h_tokens, output_tokens = EXCLUDED.output_tokens,
        reasoning_tokens = EXCLUDED.reasoning_tokens, accepted = EXCLUDED.accepted, http_status = EXCLUDED.http_status,
        latency_ms = EXCLUDED.latency_ms, price_id = EXCLUDED.price_id, cost_usd = EXCLUDED.cost_usd,
        cost_basis = EXCLUDED.cost_basis, outcome = EXCLUDED.outcome, provider_model = EXCLUDED.provider_model,
        provider_request_id = EXCLUDED.provider_request_id, finish_reason = EXCLUDED.finish_reason,
        error_message = EXCLUDED.error_message, validation_errors = EXCLUDED.validation_errors, repairs = EXCLUDED.repairs,
        service_tier = EXCLUDED.service_tier, ceiling_usd = EXCLUDED.ceiling_usd, bound_tokens = EXCLUDED.bound_tokens,
        estimated_input_tokens = EXCLUDED.estimated_input_tokens, estimated_output_tokens = EXCLUDED.estimated_output_tokens
    WHERE a.outcome = 'lost'  -- the one correction the ledger knows
    RETURNING a.request_id
  ), totals AS (
    -- Every call adds to its request's sums, also one whose answer came too late to be accepted.
    UPDATE llm_requests q
    SET input_tokens = q.input_tokens + coalesce(o.input_tokens, 0),
        output_tokens = q.output_tokens + coalesce(o.output_tokens, 0),
        cache_read_tokens = q.cache_read_tokens + coalesce(o.cache_read_tokens, 0),
        cache_write_tokens = q.cache_write_tokens + coalesce(o.cache_write_5m_tokens, 0) + coalesce(o.cache_write_1h_tokens, 0),
        reasoning_tokens = q.reasoning_tokens + coalesce(o.reasoning_tokens, 0),
        -- A lost call's bound may have been unknown (NULL): then only a fresh sum says what the others cost.
        cost_usd = CASE WHEN NOT d.booked THEN q.cost_usd + d.attempt_usd
                        ELSE d.attempt_usd + llmreq_cost_of_others(q.id, o.claim_seq) END,
        updated_at = v_now,
        -- The rest moves only with a claim that still stands or is adopted.
        status = CASE WHEN NOT d.moves THEN q.status
                      WHEN d.next IN ('completed', 'failed', 'cancelled') THEN d.next
                      WHEN d.next = 'paginated' THEN 'waiting' ELSE 'pending' END,
        wait_reason = CASE WHEN NOT d.moves THEN q.wait_reason
                           WHEN d.next = 'lane' THEN 'rate_limit' WHEN d.next IN ('backoff', 'unsent') THEN 'backoff' END,
        completed_at = CASE WHEN d.moves AND d.next IN ('completed', 'failed', 'cancelled') THEN v_now ELSE q.completed_at END,
        lane = CASE WHEN d.moves THEN coalesce(d.next_lane, CASE WHEN d.next = 'fits' THEN q.pages_lane END, q.lane) ELSE q.lane END,
        merge_report = CASE WHEN d.moves THEN o.merge_report ELSE q.merge_report END,
        route_position = CASE WHEN d.moves THEN coalesce(d.next_position, q.route_position) ELSE q.route_position END,
        scheduled_at = CASE WHEN NOT d.moves THEN q.scheduled_at
                            WHEN d.next = 'lane' THEN
                              v_now + make_interval(secs => coalesce(o.retry_after_seconds, 1) * (1 + random() * 0.1))
                            WHEN d.next = 'backoff' THEN v_now + llmreq_backoff(d.attempts_now, o.retry_after_seconds)
                            WHEN d.next = 'unsent' THEN v_now + llmreq_backoff(llmreq_failures_of(d.called_lane), NULL)
                            ELSE q.scheduled_at END,
        attempts = CASE WHEN d.moves THEN d.attempts_now ELSE q.attempts END,
        output_cap = CASE WHEN d.moves AND d.next = 'larger_cap' THEN least(2 * o.max_output_tokens, 64000) ELSE q.output_cap END,
        estimated_tokens = CASE WHEN d.moves AND d.next = 'larger_cap'
                                THEN q.estimated_tokens + least(2 * o.max_output_tokens, 64000) - o.max_output_tokens
                                ELSE q.estimated_tokens END,
        worker_id = CASE WHEN d.moves THEN NULL ELSE q.worker_id END,
        hold_usd = CASE WHEN d.moves THEN NULL ELSE q.hold_usd END,
        hold_tokens = CASE WHEN d.moves THEN NULL ELSE q.hold_tokens END,
        unpriced = NOT d.moves AND q.unpriced,
        budget_id = CASE WHEN NOT d.moves THEN q.budget_id END,  -- one that is adopted may have waited for one
        held_input_tokens = CASE WHEN d.moves THEN NULL ELSE q.held_input_tokens END,
        held_output_tokens = CASE WHEN d.moves THEN NULL ELSE q.held_output_tokens END,
        cancel_requested_at = CASE WHEN d.moves THEN NULL ELSE q.cancel_requested_at END,
        -- A call that brought no answer says nothing new about the answer that was being mended.
        response = CASE WHEN NOT d.moves OR (d.next NOT IN ('completed', 'failed', 'fallback') AND o.response IS NULL)
                        THEN q.response WHEN d.next <> 'fallback' THEN o.response END,
        validation_errors = CASE WHEN NOT d.moves OR (d.next NOT IN ('completed', 'failed', 'fallback') AND o.response IS NULL)
                                 THEN q.validation_errors WHEN d.next <> 'fallback' THEN o.validation_errors END,
        repairs = CASE WHEN d.moves THEN o.repairs ELSE q.repairs END,
        parsed_response = CASE WHEN d.moves THEN o.parsed_response ELSE q.parsed_response END,
        error_code = CASE WHEN NOT d.moves OR o.outcome = 'released' THEN q.error_code
                          WHEN d.next NOT IN ('completed', 'cancelled', 'fits', 'paginated') THEN o.outcome END,
        error_message = CASE WHEN NOT d.moves OR o.outcome = 'released' THEN q.error_message
                             WHEN d.next NOT IN ('completed', 'cancelled', 'fits', 'paginated') THEN o.error_message END,
        error_details = CASE WHEN NOT d.moves OR o.outcome = 'released' THEN q.error_details
                             WHEN d.next NOT IN ('completed', 'cancelled', 'fits', 'paginated') THEN o.error_details END
    FROM decided d JOIN outcome o ON o.id = d.id
    WHERE q.id = d.id AND q.id = ANY (ARRAY(SELECT o.id FROM outcome o))
    RETURNING q.id, o.claim_seq, d.moves AS accepted, q.status
  ), change AS MATERIALIZED (
    SELECT d.called_lane AS lane, json_build_object(
             'ended', count(*) FILTER (WHERE d.class = 'live'),
             'unsent', count(*) FILTER (WHERE d.class = 'live' AND o.billed = 'none' AND o.http_status IS NULL),
             'back_input', coalesce(sum(d.held_input_tokens) FILTER (WHERE d.class = 'live' AND o.billed = 'none'), 0),
             'back_output', coalesce(sum(d.held_output_tokens) FILTER (WHERE d.class = 'live' AND o.billed = 'none'), 0),
             'spare_input', coalesce(sum(d.held_input_tokens - u.input) FILTER (WHERE d.class = 'live' AND o.billed = 'usage'), 0),
             'spare_output', coalesce(sum(d.held_output_tokens - o.output_tokens)
                                      FILTER (WHERE d.class = 'live' AND o.billed = 'usage'), 0),
             'cache_read', coalesce(sum(o.cache_read_tokens) FILTER (WHERE d.held_input_tokens IS NOT NULL AND d.class = 'live'), 0),
             'answers', count(o.output_tokens),
             'output_tokens', coalesce(sum(o.output_tokens), 0),
             'throttles', count(*) FILTER (WHERE d.outcome = 'rate_limited'),
             'retry_after', max(o.retry_after_seconds) FILTER (WHERE d.outcome = 'rate_limited'),
             'failures', count(*) FILTER (WHERE d.breaker IS NOT NULL),
             'successes', count(*) FILTER (WHERE d.breaker IS NULL AND o.http_status IS NOT NULL AND d.outcome <> 'rate_limited'),
             'breaker', min(d.breaker),
             'message', max(o.error_message) FILTER (WHERE d.breaker IS NOT NULL),
             'rate', (array_agg(o.rate ORDER BY o.claimed_at DESC) FILTER (WHERE o.rate IS NOT NULL))[1]) AS parts
    FROM decided d JOIN outcome o ON o.id = d.outcome_id
    CROSS JOIN LATERAL (
      SELECT o.input_tokens + coalesce(o.cache_write_5m_tokens, 0) + coalesce(o.cache_write_1h_tokens, 0) AS input) u
    GROUP BY d.called_lane
  ), settled AS (
    SELECT llmreq_settle_lane(x.lane, x.parts, v_now)
    FROM (
      SELECT c.lane, c.parts FROM change c
      UNION ALL
      -- The row with the limits of all the provider's lanes; it has no headers, breaker or block of its own.
      SELECT llmreq_provider_lane(c.lane), json_build_object(
               'ended', (c.parts ->> 'ended')::integer, 'unsent', (c.parts ->> 'unsent')::integer,
               'back_input', (c.parts ->> 'back_input')::float8, 'back_output', (c.parts ->> 'back_output')::float8,
               'spare_input', (c.parts ->> 'spare_input')::float8, 'spare_output', (c.parts ->> 'spare_output')::float8,
               'cache_read', (c.parts ->> 'cache_read')::float8, 'answers', 0, 'throttles', 0, 'failures', 0, 'successes', 0)
      FROM change c
      WHERE EXISTS (SELECT FROM llm_lanes l WHERE l.lane = llmreq_provider_lane(c.lane))
      ORDER BY 1
    ) x
  ), rolled_up AS (
    INSERT INTO llm_usage_daily AS u (
      day, tenant_id, agent_id, task_type, kind, provider, model, run_id, calls, counted_calls, failed_calls, lost_calls, unpriced_calls,
      input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, unpriced_tokens,
      bound_tokens, estimated_tokens, estimate_error_tokens, cost_usd, failed_usd, upper_bound_usd, ceiling_usd)
    SELECT d.day, d.tenant_id, d.agent_id, d.task_type, d.kind, split_part(d.called_lane, '/', 1),
           substr(d.called_lane, strpos(d.called_lane, '/') + 1), coalesce(d.run_id, '00000000-0000-0000-0000-000000000000'),
           -- A booking as lost that is replaced is taken out again.
           count(*) FILTER (WHERE NOT d.booked), count(d.counted),
           count(*) FILTER (WHERE d.outcome NOT IN ('completed', 'released', 'cancelled')), -count(*) FILTER (WHERE d.booked),
           count(*) FILTER (WHERE d.attempt_usd IS NULL) - count(*) FILTER (WHERE d.booked AND d.booked_usd IS NULL),
           coalesce(sum(o.input_tokens), 0), coalesce(sum(o.cache_read_tokens), 0), coalesce(sum(o.cache_write_5m_tokens), 0),
           coalesce(sum(o.cache_write_1h_tokens), 0), coalesce(sum(o.output_tokens), 0), coalesce(sum(o.reasoning_tokens), 0),
           coalesce(sum(d.counted) FILTER (WHERE d.attempt_usd IS NULL), 0),
           coalesce(sum(d.bound), 0) - coalesce(sum(d.booked_bound), 0),
           coalesce(sum(d.estimated_input + d.estimated_output) FILTER (WHERE d.counted > 0), 0),
           coalesce(sum(abs(d.estimated_input + d.estimated_output - d.counted)) FILTER (WHERE d.counted > 0), 0),
           coalesce(sum(d.attempt_usd), 0) - coalesce(sum(d.booked_usd), 0),
           coalesce(sum(d.attempt_usd) FILTER (WHERE d.outcome NOT IN ('completed', 'released', 'cancelled')), 0),
           coalesce(sum(d.attempt_usd) FILTER (WHERE d.billed = 'upper_bound'), 0) - coalesce(sum(d.booked_usd), 0),
           coalesce(sum(d.if_unknown_usd) FILTER (WHERE d.attempt_usd IS NULL), 0) - coalesce(sum(d.booked_ceiling), 0)
    FROM decided d JOIN outcome o ON o.id = d.outcome_id
    WHERE (SELECT count(*) FROM settled) >= 0
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
    ON CONFLICT ON CONSTRAINT llm_usage_daily_pkey DO UPDATE
    SET calls = u.calls + EXCLUDED.calls, counted_calls = u.counted_calls + EXCLUDED.counted_calls,
        failed_calls = u.failed_calls + EXCLUDED.failed_calls, lost_calls = u.lost_calls + EXCLUDED.lost_calls,
        unpriced_calls = u.unpriced_calls + EXCLUDED.unpriced_calls, input_tokens = u.input_tokens + EXCLUDED.input_tokens,
        cache_read_tokens = u.cache_read_tokens + EXCLUDED.cache_read_tokens,
        cache_write_5m_tokens = u.cache_write_5m_tokens + EXCLUDED.cache_write_5m_tokens,
        cache_write_1h_tokens = u.cache_write_1h_tokens + EXCLUDED.cache_write_1h_tokens,
        output_tokens = u.output_tokens + EXCLUDED.output_tokens, reasoning_tokens = u.reasoning_tokens + EXCLUDED.reasoning_tokens,
        unpriced_tokens = u.unpriced_tokens + EXCLUDED.unpriced_tokens, bound_tokens = u.bound_tokens + EXCLUDED.bound_tokens,
        estimated_tokens = u.estimated_tokens + EXCLUDED.estimated_tokens,
        estimate_error_tokens = u.estimate_error_tokens + EXCLUDED.estimate_error_tokens, cost_usd = u.cost_usd + EXCLUDED.cost_usd,
        failed_usd = u.failed_usd + EXCLUDED.failed_usd, upper_bound_usd = u.upper_bound_usd + EXCLUDED.upper_bound_usd,
        ceiling_usd = u.ceiling_usd + EXCLUDED.ceiling_usd
  ), budgets AS MATERIALIZED (
    SELECT llmreq_settle_budgets(json_agg(json_build_object(
             'tenant_id', d.tenant_id, 'agent_id', d.agent_id, 'task_type', d.task_type, 'lane', d.called_lane, 'run_id', d.run_id,
             'claimed_at', d.claimed_at, 'usd', coalesce(d.attempt_usd, d.if_unknown_usd, 0) - coalesce(d.booked_usd, d.booked_ceiling, 0),
             'tokens', coalesce(d.counted, 0) + coalesce(d.bound, 0) - coalesce(d.booked_bound, 0),
             'held_usd', CASE WHEN d.class = 'live' THEN d.hold_usd END,
             'held_tokens', CASE WHEN d.class = 'live' THEN d.hold_tokens END)), v_now) AS settled
    FROM decided d
    WHERE v_budgeted AND (SELECT count(*) FROM settled) >= 0
    HAVING count(*) > 0
  ), unbooked AS (
    -- Deleted with the triggers off: nobody can say any more whose call it was, but it is not passed over in silence.
    INSERT INTO llm_events (created_at, kind, subject, message, details)
    SELECT v_now, 'call_of_deleted_request', c.outcome_id::text, format('request %s was deleted while it was called', c.outcome_id),
           jsonb_build_object('billed', o.billed, 'outcome', o.outcome, 'input_tokens', o.input_tokens, 'output_tokens', o.output_tokens)
    FROM classed c JOIN outcome o ON o.id = c.outcome_id WHERE c.class = 'gone' AND c.billed <> 'none'
  ), paged AS MATERIALIZED (
    SELECT llmreq_settle_pages(json_agg(json_build_object(
             'id', d.id, 'parent_id', d.parent_id, 'document', d.pages IS NOT NULL,
             'pages', CASE WHEN d.moves AND d.next = 'paginated' THEN o.pages END))) AS settled
    FROM decided d JOIN outcome o ON o.id = d.id
    WHERE (d.parent_id IS NOT NULL OR d.pages IS NOT NULL OR d.next = 'paginated')
      AND (SELECT count(*) FROM booked) + (SELECT count(*) FROM totals) >= 0  -- it reads both
      AND (SELECT count(*) FROM settled) + (SELECT count(*) FROM budgets) >= 0  -- documents are locked last
    HAVING count(*) > 0
  )
  SELECT t.id, t.claim_seq, t.accepted, t.status FROM totals t
  WHERE (SELECT count(*) FROM settled) + (SELECT count(*) FROM budgets) + (SELECT count(*) FROM paged) >= 0  -- a CTE nobody reads is not run
  UNION ALL
  SELECT c.outcome_id, c.outcome_seq, false, c.status FROM classed c WHERE c.class IN ('repeated', 'gone', 'deleted');
  IF v_warns THEN
    PERFORM llmreq_warn_spend(p_outcomes, v_now);
  END IF;
END
$$;

-- llmreq_booking(request, claim_seq, claimed_at, gone) → its row in the ledger, if it has one
-- Of a request that is gone it is locked, as the request's row is otherwise: of two finishes of one call only the first corrects it. One
-- that somebody else holds comes back with the outcome 'locked'.
-- Volatile, so that it sees what a rescue booked while this finish waited for the request's lock: a stable function would look
-- at the statement's snapshot, and the lost call would be paid twice.
CREATE OR REPLACE FUNCTION llmreq_booking(p_id uuid, p_claim_seq integer, p_claimed_at timestamptz, p_gone boolean) RETURNS llm_attempts
LANGUAGE plpgsql VOLATILE STRICT
AS $$
DECLARE
  a llm_attempts;
BEGIN
  IF p_gone THEN
    IF llmreq_exists(p_id) THEN
      RETURN NULL;  -- not gone, but held by somebody, whose booking it is
    END IF;
    SELECT * INTO a FROM llm_attempts x
    WHERE x.request_id = p_id AND x.claim_seq = p_claim_seq AND x.claimed_at = p_claimed_at
    FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
      RETURN a;
    END IF;
    SELECT * INTO a FROM llm_attempts x
    WHERE x.request_id = p_id AND x.claim_seq = p_claim_seq AND x.claimed_at = p_claimed_at;
    a.outcome := CASE WHEN a.request_id IS NOT NULL THEN 'locked' END;
  ELSE
    SELECT * INTO a FROM llm_attempts x
    WHERE x.request_id = p_id AND x.claim_seq = p_claim_seq AND x.claimed_at = p_claimed_at;
  END IF;
  RETURN a;
END
$$;

-- llmreq_exists(request) → boolean; of a row that was not locked, whether that is because somebody else holds it
CREATE OR REPLACE FUNCTION llmreq_exists(p_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  RETURN EXISTS (SELECT FROM llm_requests r WHERE r.id = p_id);
END
$$;

-- llmreq_failures_of(lane) → failures in a row, this one included
CREATE OR REPLACE FUNCTION llmreq_failures_of(p_lane text) RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN 1 + coalesce((SELECT l.consecutive_failures FROM llm_lanes l WHERE l.lane = p_lane), 0);
END
$$;

-- llmreq_cost_of_others(request, claim_seq) → dollars of the request's other calls; NULL when one is unknown
-- Volatile for the same reason.
CREATE OR REPLACE FUNCTION llmreq_cost_of_others(p_id uuid, p_claim_seq integer) RETURNS numeric
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  RETURN (
    -- A correction of outcome 'priced' says what an unknown cost was.
    SELECT CASE WHEN count(*) FILTER (WHERE x.cost_usd IS NULL) = count(*) FILTER (WHERE x.outcome = 'priced')
                THEN coalesce(sum(x.cost_usd), 0) END
    FROM llm_attempts x WHERE x.request_id = p_id AND x.claim_seq <> p_claim_seq);
END
$$;
