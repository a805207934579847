-- llmreq_expire(limit) → requests ended
-- Ends pending requests whose expires_at has passed.
CREATE OR REPLACE FUNCTION llmreq_expire(p_limit integer DEFAULT 500) RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '1s' SET llmreq.engine = 'on'
AS $$
DECLARE
  v_ids uuid[] := ARRAY(
    SELECT r.id FROM llm_requests r
    WHERE r.status = 'pending' AND r.expires_at <= llmreq_now()
    ORDER BY r.expires_at LIMIT p_limit);
  v_id uuid;
  v_count integer := 0;
BEGIN
  IF v_ids = '{}' THEN
    RETURN 0;
  END IF;
  BEGIN
    v_count := llmreq_expire_requests(v_ids);
    SET CONSTRAINTS ALL IMMEDIATE;  -- what a deferred trigger would raise at the commit is raised here
    SET CONSTRAINTS ALL DEFERRED;
    RETURN v_count;
  EXCEPTION WHEN OTHERS THEN
    v_count := 0;  -- one by one, so that one request cannot hold up the others
  END;
  PERFORM set_config('lock_timeout', '20ms', true);  -- all together have waited already
  FOREACH v_id IN ARRAY v_ids LOOP
    BEGIN
      v_count := v_count + llmreq_expire_requests(ARRAY[v_id]);
      SET CONSTRAINTS ALL IMMEDIATE;
      SET CONSTRAINTS ALL DEFERRED;
    EXCEPTION WHEN OTHERS THEN
      PERFORM llmreq_report('expire_refused', v_id::text, SQLSTATE) WHERE SQLSTATE <> '55P03';
    END;
  END LOOP;
  RETURN v_count;
END
$$;

-- llmreq_expire_requests(ids) → requests ended
CREATE OR REPLACE FUNCTION llmreq_expire_requests(p_ids uuid[]) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_count integer;
  v_parents uuid[];
BEGIN
  WITH due AS MATERIALIZED (
    SELECT r.id FROM llm_requests r
    WHERE r.id = ANY (p_ids) AND r.status = 'pending' AND r.expires_at <= v_now
    FOR NO KEY UPDATE SKIP LOCKED
  ), expired AS (
    UPDATE llm_requests q
    SET status = 'failed', claim_seq = q.claim_seq + 1, error_code = 'expired', wait_reason = NULL,
        budget_id = NULL, hold_usd = NULL, hold_tokens = NULL,
        error_message = format('expires_at %s passed before an answer came', q.expires_at), completed_at = v_now, updated_at = v_now
    FROM due WHERE q.id = due.id
    RETURNING q.parent_id
  )
  SELECT count(*), array_agg(DISTINCT e.parent_id) FILTER (WHERE e.parent_id IS NOT NULL) INTO v_count, v_parents FROM expired e;
  IF v_parents IS NOT NULL THEN
    PERFORM llmreq_turn_pages(v_parents);
  END IF;
  RETURN v_count;
END
$$;

-- llmreq_explain_waiting(limit) → rows changed
-- For every lane with pending rows: says on the rows at its head why they do not move, and moves or ends those that need not wait.
--   the lane is closed (nobody serves it, or its provider is down) and the rows' route has an open candidate  → moved there
--   the lane is closed or blocked, and the row's on_unavailable is degrade or fail                            → local/rules, or failed
--   no live worker knows the provider at all                                                                → failed, unknown_model
--   a worker knows the provider but cannot call it, as with a missing key                → wait_reason no_worker, the reason said
--   the lane, its provider or everything is paused, or the lane is blocked               → wait_reason
-- Only the first `limit` rows of a lane are written: a queue of a million rows that waits is not rewritten to say so. Of thousands of
-- lanes some are looked at in each turn; one worker a second takes a turn. A lane where something is refused does not stop the others.
CREATE OR REPLACE FUNCTION llmreq_explain_waiting(p_limit integer DEFAULT 100, p_lanes integer DEFAULT 200) RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '1s' SET llmreq.engine = 'on'
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_place text := llmreq_take_turn('explain_waiting', interval '0');
  v_until timestamptz := clock_timestamp() + interval '500 ms';
  v_lane record;
  v_seen integer := 0;
  v_changed integer := 0;
BEGIN
  IF v_place IS NULL THEN
    RETURN 0;
  END IF;
  FOR v_lane IN
    SELECT p.lane, l.blocked_until > v_now AS blocked, l.block_reason, l.block_message, llmreq_served(p.lane) AS served,
           llmreq_paused(p.lane) AS paused
    FROM llmreq_pending_lanes(v_place, p_lanes) p LEFT JOIN llm_lanes l ON l.lane = p.lane
  LOOP
    v_seen := v_seen + 1;
    v_place := v_lane.lane;
    BEGIN
      v_changed := v_changed + llmreq_explain_lane(v_lane, p_limit, v_now);
    EXCEPTION WHEN OTHERS THEN
      PERFORM llmreq_report('lane_not_explained', v_lane.lane, SQLSTATE);
    END;
    EXIT WHEN clock_timestamp() > v_until;
  END LOOP;
  PERFORM llmreq_end_turn('explain_waiting', CASE WHEN v_seen = p_lanes OR clock_timestamp() > v_until THEN v_place ELSE '' END);
  RETURN v_changed;
END
$$;

-- llmreq_explain_lane({lane, blocked, block_reason, block_message, served, paused}, limit, now) → rows changed
CREATE OR REPLACE FUNCTION llmreq_explain_lane(l record, p_limit integer, p_now timestamptz) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_now timestamptz := p_now;
  v_provider text;
  v_reason text;
  v_message text;
  v_code text;
  v_known text;
  v_changed integer := 0;
  v_count integer;
BEGIN
  v_provider := split_part(l.lane, '/', 1);
  v_reason := NULL;
  v_message := NULL;
  v_code := NULL;
  IF NOT l.served OR (l.blocked AND l.block_reason = 'provider_down') THEN
    v_changed := v_changed + llmreq_reroute(l.lane, p_limit);
  END IF;
  IF NOT l.served OR l.blocked OR l.paused THEN
    v_changed := v_changed + llmreq_give_way(l.lane, l.block_message, p_limit);
  END IF;
  IF NOT l.served THEN
    SELECT w.unusable ->> v_provider INTO v_message FROM llm_workers w
    WHERE w.state = 'alive' AND w.lease_until > v_now AND w.unusable ? v_provider LIMIT 1;
    SELECT string_agg(DISTINCT k, ', ' ORDER BY k) INTO v_known FROM llm_workers w
    CROSS JOIN LATERAL (SELECT split_part(unnest(w.providers), '/', 1) UNION SELECT jsonb_object_keys(w.unusable)) AS x (k)
    WHERE w.state = 'alive' AND w.lease_until > v_now;
    IF v_message IS NULL AND v_known IS NOT NULL THEN
      v_changed := v_changed + llmreq_refuse(l.lane, format(
        'no running worker knows provider %L; known are %s: define [providers.%s] in llmreq.toml or correct the row, then llmreq retry',
        v_provider, v_known, v_provider), p_limit);
      RETURN v_changed;
    END IF;
    v_reason := 'no_worker';
    v_code := CASE WHEN v_message IS NOT NULL THEN 'authentication' END;
    v_message := coalesce(v_message, 'no worker is running');
  ELSIF l.paused THEN
    v_reason := 'paused';
  ELSIF l.blocked THEN
    v_reason := l.block_reason;
    v_message := l.block_message;
  END IF;
  WITH head AS MATERIALIZED (
    SELECT r.id FROM llm_requests r
    WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = l.lane
    ORDER BY r.lane, r.tenant_id, r.priority, r.scheduled_at, r.id LIMIT p_limit
  ), changed AS MATERIALIZED (
    SELECT r.id FROM llm_requests r JOIN head USING (id)
    WHERE r.wait_reason IS DISTINCT FROM coalesce(v_reason, CASE WHEN r.scheduled_at > v_now THEN r.wait_reason END)
    FOR NO KEY UPDATE OF r SKIP LOCKED
  )
  UPDATE llm_requests q
  SET wait_reason = v_reason, error_code = coalesce(v_code, q.error_code), error_message = coalesce(v_message, q.error_message),
      updated_at = v_now
  FROM changed WHERE q.id = changed.id AND q.status = 'pending';
  GET DIAGNOSTICS v_count = ROW_COUNT;
  v_changed := v_changed + v_count;
  RETURN v_changed;
END
$$;

-- llmreq_reroute(lane, limit) → rows moved
-- Routed rows of a closed lane go to their route's first candidate that is open.
CREATE OR REPLACE FUNCTION llmreq_reroute(p_lane text, p_limit integer) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_count integer;
BEGIN
  WITH head AS MATERIALIZED (
    SELECT r.id, r.route_id, r.task_type FROM llm_requests r
    WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = p_lane AND r.route_id IS NOT NULL
    ORDER BY r.lane, r.tenant_id, r.priority, r.scheduled_at, r.id LIMIT p_limit * 10
    FOR NO KEY UPDATE SKIP LOCKED
  ), target AS MATERIALIZED (
    SELECT t.id AS route_id, x.task_type, first.lane, first.position
    FROM llm_routes t
    JOIN (SELECT DISTINCT h.route_id, h.task_type FROM head h) x ON x.route_id = t.id
    CROSS JOIN LATERAL (
      SELECT c.lane, c.position FROM unnest(t.candidates) WITH ORDINALITY AS c (lane, position)
      WHERE llmreq_can_take(c.lane, x.task_type) AND llmreq_open(c.lane) ORDER BY c.position LIMIT 1) first
  )
  UPDATE llm_requests q
  SET lane = target.lane, route_position = target.position, claim_seq = q.claim_seq + 1, wait_reason = NULL, error_code = NULL,
      error_message = NULL, updated_at = llmreq_now()
  FROM head JOIN target USING (route_id, task_type)
  WHERE q.id = head.id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END
$$;

-- llmreq_give_way(lane, why, limit) → rows changed
-- Rows of a lane that cannot move now and whose producers do not want them to wait: degrade goes to local/rules, where some
-- worker serves that; fail ends.
CREATE OR REPLACE FUNCTION llmreq_give_way(p_lane text, p_why text, p_limit integer) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_local boolean := llmreq_served('local/rules');
  v_count integer;
  v_parents uuid[];
BEGIN
  IF p_lane IN ('local/rules', 'local/pages') THEN
    RETURN 0;
  END IF;
  WITH chosen AS MATERIALIZED (
    SELECT r.id, r.on_unavailable = 'degrade' AS degrade FROM llm_requests r
    WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = p_lane AND r.on_unavailable <> 'wait' AND r.scheduled_at <= v_now
      AND (r.on_unavailable = 'fail' OR v_local)
    LIMIT p_limit * 10
    FOR NO KEY UPDATE SKIP LOCKED
  ), changed AS (
  UPDATE llm_requests q
  SET status = CASE WHEN c.degrade THEN 'pending' ELSE 'failed' END, claim_seq = q.claim_seq + 1, wait_reason = NULL,
      lane = CASE WHEN c.degrade THEN 'local/rules' ELSE q.lane END, route_id = CASE WHEN c.degrade THEN NULL ELSE q.route_id END,
      error_code = CASE WHEN NOT c.degrade THEN 'provider_unavailable' END,
      error_message = CASE WHEN NOT c.degrade THEN format('%s cannot be called now, and on_unavailable is fail: %s', p_lane,
                                                          coalesce(p_why, 'paused, or no worker serves it')) END,
      completed_at = CASE WHEN NOT c.degrade THEN v_now END, updated_at = v_now
  FROM chosen c WHERE q.id = c.id
  RETURNING q.parent_id, q.status
  )
  SELECT count(*), array_agg(DISTINCT c.parent_id) FILTER (WHERE c.parent_id IS NOT NULL AND c.status = 'failed')
  INTO v_count, v_parents FROM changed c;
  IF v_parents IS NOT NULL THEN
    PERFORM llmreq_turn_pages(v_parents);
  END IF;
  RETURN v_count;
END
$$;

-- llmreq_refuse(lane, message, limit) → rows ended
-- Ends the rows of a lane whose provider nobody knows. They keep their question: llmreq_retry brings them back.
CREATE OR REPLACE FUNCTION llmreq_refuse(p_lane text, p_message text, p_limit integer) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_count integer;
  v_parents uuid[];
BEGIN
  WITH head AS MATERIALIZED (
    SELECT r.id FROM llm_requests r
    WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = p_lane
    ORDER BY r.lane, r.tenant_id, r.priority, r.scheduled_at, r.id LIMIT p_limit
    FOR NO KEY UPDATE SKIP LOCKED
  ), refused AS (
  UPDATE llm_requests q
  SET status = 'failed', claim_seq = q.claim_seq + 1, error_code = 'unknown_model', error_message = p_message, wait_reason = NULL,
      completed_at = llmreq_now(), updated_at = llmreq_now()
  FROM head WHERE q.id = head.id
  RETURNING q.parent_id
  )
  SELECT count(*), array_agg(DISTINCT x.parent_id) FILTER (WHERE x.parent_id IS NOT NULL) INTO v_count, v_parents FROM refused x;
  IF v_parents IS NOT NULL THEN
    PERFORM llmreq_turn_pages(v_parents);
  END IF;
  RETURN v_count;
END
$$;
