-- llmreq_claim(worker, limit) → the claimed requests, without their payload
-- Takes up to `limit` due requests for one worker, lane by lane, and marks them processing. The caller commits, reads what it
-- claimed from llm_requests, and calls. `documented`: an agent, a page or a document stands behind it.
--
-- Guarantees
--   Each claim bumps claim_seq, the fence: one claim, one call, one attempt (invariant 1).
--   A lane is claimed by one worker at a time: its row is the mutex and holds the fleet's limits, so requests and tokens per
--   minute, calls in flight, a block and the breaker are exact for the whole fleet and are met before the call (invariant 4).
--   The row 'openai/*' holds those of all lanes of a provider.
--   A lane that is locked, paused, blocked, full or not served by this worker costs nothing and blocks no other lane.
-- Races
--   A worker whose lease ended may not claim: it raises LQ001 and takes nothing. The check locks the worker's row against
--   rescue until the claim commits, so a claim and the rescue of its worker cannot pass each other.
--   Nothing here waits for a lock: a lane that a finish holds is tried again for a few milliseconds, then left to the next
--   poll; a request that is being cancelled or edited is passed over.
--   What comes back is small, because a worker that stands still while Postgres sends would keep its lanes locked.
-- Speed
--   Lanes and tenants are found by loose index scans over llm_requests_pending_idx, rows by LATERAL probes with equality on
--   lane, tenant and priority: each probe ends where it should, whatever the backlog and however many rows are delayed.
-- Plans
--   A claim goes by index and nested loop, without jit, and its plans are generic, in all that it calls: right after a bulk insert the statistics are wrong, a hot query may not
--   depend on them, and planning it again would cost more than running it.
CREATE OR REPLACE FUNCTION llmreq_claim(p_worker bigint, p_limit integer)
RETURNS TABLE (
  id uuid, claim_seq integer, claimed_at timestamptz, lane text, tenant_id text, attempt smallint, max_output_tokens integer,
  priced boolean, documented boolean
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := llmreq_now();
  v_providers text[];
  v_wanted text[];  -- lanes still to be visited
  v_more text[] := '{}';  -- lanes that took their whole share
  v_left integer := p_limit;
  v_lane llm_lanes;
  v_provider llm_lanes;
  v_share integer;
  v_taken integer;
  v_budgeted boolean;
BEGIN
  LOCK TABLE llm_budgets IN ROW EXCLUSIVE MODE;  -- no budget begins while this claim is half-way
  SELECT w.providers INTO v_providers FROM llm_workers w
  WHERE w.id = p_worker AND w.state = 'alive' AND w.lease_until > v_now
  FOR KEY SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'worker % has no lease', p_worker USING ERRCODE = 'LQ001';
  END IF;

  v_budgeted := EXISTS (SELECT FROM llm_budgets);
  IF v_budgeted THEN
    PERFORM llmreq_wake(v_now);
  END IF;
  v_wanted := llmreq_open_lanes(v_providers, p_limit, v_now);
  FOR i IN 1 .. 5 LOOP
    EXIT WHEN v_wanted = '{}';
    PERFORM pg_sleep(0.002) WHERE i > 1;
    FOR v_lane IN
      SELECT l.* FROM llm_lanes l WHERE l.lane = ANY (v_wanted) ORDER BY random() FOR NO KEY UPDATE SKIP LOCKED
    LOOP
      SELECT x.* INTO v_provider FROM llm_lanes x WHERE x.lane = llmreq_provider_lane(v_lane.lane) FOR NO KEY UPDATE SKIP LOCKED;
      CONTINUE WHEN NOT FOUND AND EXISTS (SELECT FROM llm_lanes x WHERE x.lane = llmreq_provider_lane(v_lane.lane));
      -- An equal share for each lane; what one leaves, the next may have.
      v_share := ceil(v_left::numeric / greatest(1, cardinality(v_wanted)));
      RETURN QUERY SELECT * FROM llmreq_claim_lane(p_worker, v_lane, v_provider, v_share, v_budgeted, v_now);
      GET DIAGNOSTICS v_taken = ROW_COUNT;
      v_left := v_left - v_taken;
      v_wanted := array_remove(v_wanted, v_lane.lane);
      IF v_taken = v_share THEN
        v_more := v_more || v_lane.lane;
      END IF;
    END LOOP;
  END LOOP;
  -- And what the last ones left, the first: their rows are still locked.
  FOR v_lane IN SELECT l.* FROM llm_lanes l WHERE l.lane = ANY (v_more) ORDER BY random() LOOP
    EXIT WHEN v_left <= 0;
    SELECT x.* INTO v_provider FROM llm_lanes x WHERE x.lane = llmreq_provider_lane(v_lane.lane);
    RETURN QUERY SELECT * FROM llmreq_claim_lane(p_worker, v_lane, v_provider, v_left, v_budgeted, v_now);
    GET DIAGNOSTICS v_taken = ROW_COUNT;
    v_left := v_left - v_taken;
  END LOOP;
END
$$;

-- llmreq_claim_lane(worker, lane row, provider's row, limit, budgeted, now) → the claimed requests of one lane
-- The caller has locked both rows; `p` holds the limits of all the provider's lanes and is NULL where there are none.
CREATE OR REPLACE FUNCTION llmreq_claim_lane(
  p_worker bigint, l llm_lanes, p llm_lanes, p_limit integer, p_budgeted boolean, p_now timestamptz
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
  v_room integer;
  v_limited boolean;
  v_tenants text[];
  v_priorities smallint[];
  v_lows timestamptz[];
  v_low_ids uuid[];
  v_picked llmreq_picked[];
  v_prices llmreq_token_price[];
  v_ceiling numeric;
BEGIN
  l := llmreq_filled(l, p_now);
  IF p.lane IS NOT NULL THEN
    p := llmreq_filled(p, p_now);
  END IF;
  v_room := least(p_limit, llmreq_room(l, p_now), CASE WHEN p.lane IS NOT NULL THEN llmreq_room(p, p_now) END);
  IF v_room <= 0 THEN
    RETURN;
  END IF;
  v_limited := coalesce(l.token_level, l.input_level, l.output_level, p.token_level, p.input_level, p.output_level) IS NOT NULL;

  -- On its own, because it may write down where it looked.
  SELECT array_agg(k.tenant_id), array_agg(k.priority), array_agg(k.low), array_agg(k.low_id)
  INTO v_tenants, v_priorities, v_lows, v_low_ids
  FROM llmreq_pending_keys(l.lane, l.tenant_cursor, least(greatest(v_room, 20), 200), p_now) k;
  IF v_tenants IS NULL THEN
    RETURN;
  END IF;

  v_picked := ARRAY(SELECT k FROM llmreq_pick(
    l, v_tenants, v_priorities, v_lows, v_low_ids, v_room, coalesce(least(l.token_level, p.token_level), 'Infinity'),
    coalesce(least(l.input_level, p.input_level), 'Infinity'), coalesce(least(l.output_level, p.output_level), 'Infinity'), p_now) k);
  v_prices := llmreq_token_prices(l.provider, l.model, p_now);
  IF p_budgeted THEN
    v_ceiling := (llmreq_money_settings()).ceiling;
    v_picked := llmreq_admit(l, v_picked, v_prices, v_ceiling, p_now);
  END IF;
  IF v_picked = '{}' THEN
    RETURN;
  END IF;

  RETURN QUERY
  WITH picked AS MATERIALIZED (
    SELECT k.* FROM unnest(v_picked) k
  ), locked AS MATERIALIZED (
    SELECT r.id, k.tenant_id, k.priority, k.scheduled_at, k.input_tokens, k.output_tokens, k.start_at, k.end_at, k.crowded,
           h.usd, h.tokens, h.unpriced
    FROM picked k JOIN llm_requests r ON r.id = k.id
    CROSS JOIN LATERAL llmreq_hold(l.provider, r.input_bytes, octet_length(r.response), r.output_cap, r.service_tier, r.writes_cache,
                                   v_prices, v_ceiling) h
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

-- llmreq_filled(lane row, now) → lane row
-- Filled up to now; a bucket that is met for the first time is written down even if nothing comes of this claim: from now on it
-- fills.
CREATE OR REPLACE FUNCTION llmreq_filled(l llm_lanes, p_now timestamptz) RETURNS llm_lanes
LANGUAGE plpgsql
AS $$
DECLARE
  v_had integer := num_nonnulls(l.request_level, l.token_level, l.input_level, l.output_level);
BEGIN
  l := llmreq_refill(l, p_now);
  IF num_nonnulls(l.request_level, l.token_level, l.input_level, l.output_level) <> v_had THEN
    UPDATE llm_lanes x
    SET request_level = l.request_level, token_level = l.token_level, input_level = l.input_level, output_level = l.output_level,
        refilled_at = l.refilled_at
    WHERE x.lane = l.lane;
  END IF;
  RETURN l;
END
$$;

-- llmreq_open_lanes(providers, limit, now) → lanes
-- The lanes with pending rows that this worker serves and that are not plainly closed, `limit` of them at most, by chance: none
-- is always last. A lane met for the first time gets its row here, not in the producer's transaction.
CREATE OR REPLACE FUNCTION llmreq_open_lanes(p_providers text[], p_limit integer, p_now timestamptz) RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
  v_lanes text[];
BEGIN
  v_lanes := ARRAY(
    SELECT x.lane FROM llmreq_pending_lanes() x
    WHERE split_part(x.lane, '/', 1) = ANY (p_providers) OR x.lane = ANY (p_providers)
    ORDER BY random() LIMIT p_limit);
  IF v_lanes = '{}' THEN
    RETURN v_lanes;
  END IF;
  INSERT INTO llm_lanes (lane, provider, model)
  SELECT x.lane, split_part(x.lane, '/', 1), substr(x.lane, strpos(x.lane, '/') + 1)
  FROM unnest(v_lanes) AS x (lane)
  WHERE NOT EXISTS (SELECT FROM llm_lanes l WHERE l.lane = x.lane)
  ON CONFLICT DO NOTHING;
  RETURN ARRAY(
    SELECT l.lane FROM llm_lanes l
    WHERE l.lane = ANY (v_lanes) AND NOT l.paused AND coalesce(l.blocked_until <= p_now, true)
      AND NOT EXISTS (SELECT FROM llm_lanes x WHERE x.lane IN (llmreq_provider_lane(l.lane), '*/*') AND x.paused));
END
$$;

-- llmreq_pending_lanes() → lanes with at least one pending row
-- A loose index scan: one probe a lane, not one a row. A loop rather than a recursive CTE, because PL/pgSQL keeps its plan. It
-- steps over lanes that have marks, as llmreq_pending_keys does.
CREATE OR REPLACE FUNCTION llmreq_pending_lanes() RETURNS TABLE (lane text)
LANGUAGE plpgsql STABLE ROWS 10
AS $$
#variable_conflict use_column
DECLARE
  v_marked text[] := ARRAY(SELECT DISTINCT m.lane FROM llm_marks m ORDER BY 1);
  v_last text := '';
  v_mark text;
BEGIN
  LOOP
    v_mark := (SELECT min(x) FROM unnest(v_marked) x WHERE x > v_last);
    IF v_mark IS NULL THEN
      SELECT r.lane INTO lane FROM llm_requests r
      WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane > v_last ORDER BY r.lane LIMIT 1;
      EXIT WHEN NOT FOUND;
    ELSE
      SELECT r.lane INTO lane FROM llm_requests r
      WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane > v_last AND r.lane < v_mark ORDER BY r.lane LIMIT 1;
      lane := coalesce(llmreq_pending_lanes.lane, v_mark);
    END IF;
    v_last := llmreq_pending_lanes.lane;
    RETURN NEXT;
  END LOOP;
END
$$;
