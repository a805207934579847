-- llmreq_tidy() → rows changed
-- Forgets what only memory was, shares of tenants that are no longer ahead and marks that ended long ago, and counts anew what every lane
-- and every budget holds: whatever somebody did by hand, nothing stays held that no call holds. One worker at a time.
CREATE OR REPLACE FUNCTION llmreq_tidy() RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '1s' SET jit = off
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_changed integer;
  v_total integer := 0;
BEGIN
  IF llmreq_take_turn('tidy', interval '0') IS NULL THEN
    RETURN 0;
  END IF;
  DELETE FROM llm_shares s USING llm_lanes l WHERE l.lane = s.lane AND s.virtual_time <= l.virtual_time
    AND s.lane = ANY (ARRAY(SELECT x.lane FROM llm_lanes x FOR NO KEY UPDATE SKIP LOCKED));
  GET DIAGNOSTICS v_changed = ROW_COUNT;
  v_total := v_total + v_changed;
  DELETE FROM llm_marks m WHERE m.moved_at < v_now - interval '1 min';
  GET DIAGNOSTICS v_changed = ROW_COUNT;
  v_total := v_total + v_changed + llmreq_recount_lanes() + llmreq_recount_budgets(v_now);
  PERFORM llmreq_end_turn('tidy', '');
  RETURN v_total;
END
$$;

-- llmreq_recount_lanes() → lanes corrected
-- Calls in flight, from the requests that are processing. Locked first, counted after: no claim of that lane can pass in between, and
-- a finish that has ended its requests but not yet told the lane is not committed, so both are still counted.
CREATE OR REPLACE FUNCTION llmreq_recount_lanes() RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_lane text;
  v_changed integer;
  v_total integer := 0;
BEGIN
  FOR v_lane IN
    SELECT l.lane FROM llm_lanes l
    LEFT JOIN (SELECT x.lane, count(*)::integer AS running
               FROM llm_requests r CROSS JOIN LATERAL (VALUES (r.lane), (llmreq_provider_lane(r.lane))) AS x (lane)
               WHERE r.status = 'processing' GROUP BY x.lane) n ON n.lane = l.lane
    WHERE l.in_flight <> coalesce(n.running, 0) AND l.lane <> '*/*'
    ORDER BY l.lane
  LOOP
    PERFORM FROM llm_lanes l WHERE l.lane = v_lane FOR NO KEY UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    UPDATE llm_lanes l SET in_flight = n.running
    FROM (
      SELECT count(*)::integer AS running FROM llm_requests r
      WHERE r.status = 'processing' AND v_lane IN (r.lane, llmreq_provider_lane(r.lane))) n
    WHERE l.lane = v_lane AND l.in_flight <> n.running;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    v_total := v_total + v_changed;
    PERFORM llmreq_signal(v_lane, llmreq_now(), llmreq_now()) WHERE v_changed > 0;
  END LOOP;
  RETURN v_total;
END
$$;

-- llmreq_recount_budgets(now) → budgets corrected
-- What calls under way hold of each budget, from the requests that are processing; in the same way.
CREATE OR REPLACE FUNCTION llmreq_recount_budgets(p_now timestamptz) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  b llm_budgets;
  v_id integer;
  v_changed integer;
  v_total integer := 0;
BEGIN
  FOR v_id IN
    SELECT x.id FROM llm_budgets x
    LEFT JOIN (SELECT y.id, sum(r.hold_usd) AS usd, sum(r.hold_tokens) AS tokens
               FROM llm_requests r
               CROSS JOIN LATERAL llmreq_scopes(r.tenant_id, r.agent_id, r.task_type, r.lane, r.run_id) s
               JOIN llm_budgets y ON y.scope = s.scope AND y.subject = s.subject AND r.claimed_at >= y.period_start
               WHERE r.status = 'processing' GROUP BY y.id) n ON n.id = x.id
    WHERE x.counted AND (x.held_usd <> coalesce(n.usd, 0) OR x.held_tokens <> coalesce(n.tokens, 0))
    ORDER BY x.id LIMIT 1000
  LOOP
    SELECT x.* INTO b FROM llm_budgets x WHERE x.id = v_id AND x.counted FOR NO KEY UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    UPDATE llm_budgets x SET held_usd = n.usd, held_tokens = n.tokens, wake_at = 'epoch'
    FROM (SELECT coalesce(sum(r.hold_usd), 0) AS usd, coalesce(sum(r.hold_tokens), 0) AS tokens FROM llm_requests r
          WHERE r.status = 'processing' AND r.claimed_at >= b.period_start
            AND EXISTS (SELECT FROM llmreq_scopes(r.tenant_id, r.agent_id, r.task_type, r.lane, r.run_id) s
                        WHERE s.scope = b.scope AND s.subject = b.subject)) n
    WHERE x.id = v_id AND (x.held_usd, x.held_tokens) IS DISTINCT FROM (n.usd, n.tokens);
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    v_total := v_total + v_changed;
  END LOOP;
  RETURN v_total;
END
$$;
