-- llmreq_claim(worker, limit) → the claimed requests
-- Takes up to `limit` due requests for one worker, lane by lane, and marks them processing. The caller commits, then calls.
--
-- Guarantees
--   Each claim bumps claim_seq, the fence: one claim, one call, one attempt (invariant 1).
--   A lane is claimed by one worker at a time: its row is the mutex and holds the fleet's limits, so calls in flight, a block
--   and the breaker are exact for the whole fleet and are met before the call (invariant 4).
--   A lane that is locked, paused, blocked, full or not served by this worker costs nothing and blocks no other lane.
-- Races
--   A worker whose lease ended may not claim: it raises LQ001 and takes nothing. The check locks the worker's row against
--   rescue until the claim commits, so a claim and the rescue of its worker cannot pass each other.
--   Cancel and edit lock the request row; SKIP LOCKED passes over it.
-- Speed
--   Lanes and tenants are found by loose index scans over llm_requests_pending_idx, rows by LATERAL probes with equality on
--   lane, tenant and priority: each probe ends where it should, whatever the backlog and however many rows are delayed.
-- Plans
--   seqscan and jit are off inside, and plans are generic: right after a bulk insert the statistics are wrong, a hot query may not
--   depend on them, and planning it again would cost more than running it.
CREATE OR REPLACE FUNCTION llmreq_claim(p_worker bigint, p_limit integer)
RETURNS TABLE (
  id uuid, claim_seq integer, claimed_at timestamptz, lane text, provider text, model text, kind text, task_type text,
  tenant_id text, attempt smallint, max_attempts smallint, timeout_seconds integer, max_output_tokens integer, priced boolean,
  allow_text boolean,
  messages jsonb, content text, response_schema jsonb, tools jsonb, tool_choice jsonb, params jsonb,
  last_response text, last_errors jsonb
)
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := llmreq_now();
  v_providers text[];
  v_left integer := p_limit;
  v_lane record;
  v_room integer;
  v_taken integer;
BEGIN
  SELECT w.providers INTO v_providers FROM llm_workers w
  WHERE w.id = p_worker AND w.state = 'alive' AND w.lease_until > v_now
  FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'worker % has no lease', p_worker USING ERRCODE = 'LQ001';
  END IF;

  FOR v_lane IN
    SELECT l.lane FROM llmreq_pending_lanes() l
    WHERE split_part(l.lane, '/', 1) = ANY (v_providers) OR l.lane = ANY (v_providers)
    ORDER BY random()  -- no lane is always last when the limit is short
  LOOP
    EXIT WHEN v_left <= 0;
    v_room := least(v_left, llmreq_lane_room(v_lane.lane, v_now));
    CONTINUE WHEN v_room <= 0;

    RETURN QUERY
    WITH picked AS MATERIALIZED (
      SELECT p.id FROM llmreq_pick(v_lane.lane, v_room, v_now) p
    ), price AS MATERIALIZED (
      SELECT h.* FROM llmreq_hold_per_token(
        split_part(v_lane.lane, '/', 1), substr(v_lane.lane, strpos(v_lane.lane, '/') + 1), v_now) h
    ), taken AS (
      UPDATE llm_requests r
      SET status = 'processing', claim_seq = r.claim_seq + 1, claimed_at = v_now, worker_id = p_worker, wait_reason = NULL,
          provider = split_part(r.lane, '/', 1), model = substr(r.lane, strpos(r.lane, '/') + 1),
          -- No text has more tokens than bytes / 1.4: hex and base64 come nearest. A re-ask sends the last answer again.
          hold_usd = ceil((coalesce(r.input_bytes, 0) + 2 * coalesce(octet_length(r.response), 0) + 1000) / 1.4)
                       * (SELECT input_usd FROM price)
                     + llmreq_output_cap(r.params, r.output_cap) * (SELECT output_usd FROM price),
          updated_at = v_now
      FROM picked WHERE r.id = picked.id
      RETURNING r.*
    ), lane AS (
      UPDATE llm_lanes l
      SET in_flight = l.in_flight + (SELECT count(*)::integer FROM taken), updated_at = v_now,
          tenant_cursor = (SELECT coalesce(max(t.tenant_id) FILTER (WHERE t.tenant_id <= l.tenant_cursor), max(t.tenant_id))
                           FROM taken t)
      WHERE l.lane = v_lane.lane AND EXISTS (SELECT FROM taken)
    )
    SELECT t.id, t.claim_seq, t.claimed_at, t.lane, t.provider, t.model, t.kind, t.task_type,
           t.tenant_id, (t.attempts + 1)::smallint, t.max_attempts, t.timeout_seconds, llmreq_output_cap(t.params, t.output_cap),
           t.hold_usd IS NOT NULL, t.allow_text, t.messages, t.content, t.response_schema, t.tools, t.tool_choice, t.params,
           CASE WHEN t.validation_errors IS NOT NULL THEN t.response END, t.validation_errors
    FROM taken t;
    GET DIAGNOSTICS v_taken = ROW_COUNT;
    v_left := v_left - v_taken;
  END LOOP;
END
$$;

-- llmreq_pending_lanes() → lanes with at least one pending row
-- A loose index scan: one probe a lane, not one a row. A loop rather than a recursive CTE, because PL/pgSQL keeps its plan.
CREATE OR REPLACE FUNCTION llmreq_pending_lanes() RETURNS TABLE (lane text)
LANGUAGE plpgsql STABLE ROWS 10
AS $$
#variable_conflict use_column
BEGIN
  lane := '';
  LOOP
    SELECT r.lane INTO lane FROM llm_requests r
    WHERE r.status = 'pending' AND r.lane > llmreq_pending_lanes.lane ORDER BY r.lane LIMIT 1;
    EXIT WHEN NOT FOUND;
    RETURN NEXT;
  END LOOP;
END
$$;

-- llmreq_lane_room(lane, now) → integer
-- Locks the lane's row for this claim and says how many requests may start on it now; 0 when it is locked by another
-- claim, paused, blocked or full. A lane met for the first time gets its row here, not in the producer's transaction.
CREATE OR REPLACE FUNCTION llmreq_lane_room(p_lane text, p_now timestamptz) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_lane llm_lanes;
BEGIN
  SELECT * INTO v_lane FROM llm_lanes l WHERE l.lane = p_lane FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    IF EXISTS (SELECT FROM llm_lanes l WHERE l.lane = p_lane) THEN
      RETURN 0;  -- another claim has it
    END IF;
    INSERT INTO llm_lanes (lane, provider, model)
    VALUES (p_lane, split_part(p_lane, '/', 1), substr(p_lane, strpos(p_lane, '/') + 1))
    ON CONFLICT DO NOTHING RETURNING * INTO v_lane;
    IF v_lane.lane IS NULL THEN
      RETURN 0;
    END IF;
  END IF;
  IF v_lane.paused OR v_lane.blocked_until > p_now THEN
    RETURN 0;
  ELSIF v_lane.breaker_opened > 0 THEN
    RETURN (v_lane.in_flight = 0)::integer;  -- half open: one probe at a time, fleet-wide
  END IF;
  RETURN coalesce(v_lane.max_in_flight - v_lane.in_flight, 1000000);
END
$$;

-- llmreq_pick(lane, room, now) → ids, locked
-- Up to `room` due rows of a lane, shared out over its tenants. The walk over the tenants starts behind the last one served, so
-- none waits for ever; within a tenant: priority, then age.
CREATE OR REPLACE FUNCTION llmreq_pick(p_lane text, p_room integer, p_now timestamptz) RETURNS TABLE (id uuid)
LANGUAGE plpgsql ROWS 20
AS $$
#variable_conflict use_column
DECLARE
  v_cursor text := (SELECT l.tenant_cursor FROM llm_lanes l WHERE l.lane = p_lane);
  v_tenants text[];
  v_share integer;
BEGIN
  v_tenants := ARRAY(SELECT t.tenant_id FROM llmreq_pending_tenants(p_lane, v_cursor, least(p_room, 200)) t);
  v_share := greatest(1, ceil(p_room::numeric / greatest(cardinality(v_tenants), 1)))::integer;
  RETURN QUERY
  SELECT due.id
  FROM unnest(v_tenants) AS t (tenant_id)
  CROSS JOIN LATERAL (
    SELECT one.id
    FROM llmreq_pending_priorities(p_lane, t.tenant_id) AS p
    CROSS JOIN LATERAL (
      SELECT r.id FROM llm_requests r
      WHERE r.status = 'pending' AND r.lane = p_lane AND r.tenant_id = t.tenant_id AND r.priority = p.priority
        AND r.scheduled_at <= p_now AND (r.expires_at IS NULL OR r.expires_at > p_now)
      ORDER BY r.scheduled_at, r.id
      LIMIT v_share
      FOR NO KEY UPDATE SKIP LOCKED
    ) AS one
    LIMIT v_share
  ) AS due
  LIMIT p_room;
END
$$;

-- llmreq_pending_tenants(lane, after, limit) → tenants with pending rows, in order, from the one behind `after`, then around
CREATE OR REPLACE FUNCTION llmreq_pending_tenants(p_lane text, p_after text, p_limit integer) RETURNS TABLE (tenant_id text)
LANGUAGE plpgsql STABLE ROWS 20
AS $$
#variable_conflict use_column
DECLARE
  v_last text := p_after;
  v_around boolean := false;
BEGIN
  FOR i IN 1 .. p_limit LOOP
    SELECT r.tenant_id INTO tenant_id FROM llm_requests r
    WHERE r.status = 'pending' AND r.lane = p_lane AND r.tenant_id > v_last
    ORDER BY r.tenant_id LIMIT 1;
    IF NOT FOUND AND NOT v_around THEN
      v_around := true;
      SELECT r.tenant_id INTO tenant_id FROM llm_requests r
      WHERE r.status = 'pending' AND r.lane = p_lane
      ORDER BY r.tenant_id LIMIT 1;
    END IF;
    EXIT WHEN NOT FOUND OR (v_around AND llmreq_pending_tenants.tenant_id > p_after);
    v_last := llmreq_pending_tenants.tenant_id;
    RETURN NEXT;
  END LOOP;
END
$$;

-- llmreq_pending_priorities(lane, tenant) → the priorities of a tenant's pending rows, first things first
CREATE OR REPLACE FUNCTION llmreq_pending_priorities(p_lane text, p_tenant text) RETURNS TABLE (priority smallint)
LANGUAGE plpgsql STABLE ROWS 2
AS $$
#variable_conflict use_column
DECLARE
  v_last smallint := -1;
BEGIN
  LOOP
    SELECT r.priority INTO priority FROM llm_requests r
    WHERE r.status = 'pending' AND r.lane = p_lane AND r.tenant_id = p_tenant AND r.priority > v_last
    ORDER BY r.priority LIMIT 1;
    EXIT WHEN NOT FOUND;
    v_last := llmreq_pending_priorities.priority;
    RETURN NEXT;
  END LOOP;
END
$$;
