-- llmreq_pick(lane row, keys, room, tokens, input_tokens, output_tokens, now) → rows to claim, in order
-- Up to `room` due rows of a lane out of these keys (llmreq_pending_keys), shared out over their tenants; it locks nothing.
--   Between tenants: start-time fair queueing. Each row costs its estimated tokens by its tenant's weight, and the tenant that
--   was served least comes next; one that was idle begins where the others are, so a share nobody uses goes to the others.
--   Within a tenant: by priority, then age; every tenth row is the oldest of any priority, so that the last is not starved.
--   Tokens: rows are taken while a level is above 0; the last may take it below. So a big row blocks no small one and is
--   itself not starved, and the debt is paid before the next row starts.
-- `crowded`: a tenant had to stand back, so the shares must be remembered.
CREATE OR REPLACE FUNCTION llmreq_pick(
  l llm_lanes, p_keys llmreq_key[], p_room integer, p_tokens double precision, p_input double precision, p_output double precision,
  p_now timestamptz
) RETURNS SETOF llmreq_picked
LANGUAGE plpgsql ROWS 50
SET enable_hashjoin = off SET enable_nestloop = on  -- of thousands of shares only a few are looked up
AS $$
#variable_conflict use_column
DECLARE
  v_count integer;
  v_each integer;
  -- What a call takes for its answer: its output cap where the provider counts that, else what this lane's answers are long.
  v_mean double precision := CASE WHEN NOT llmreq_counts_output_cap(l) THEN l.mean_output_tokens END;
  -- Where tokens are limited and counted as they come: how long the answers of each agent and task type are.
  v_means jsonb := CASE WHEN v_mean IS NOT NULL AND least(p_tokens, p_output) < 'Infinity' THEN (
    SELECT jsonb_object_agg(m.agent_id || E'\n' || m.task_type, m.mean_tokens) FROM llm_output_means m WHERE m.lane = l.lane) END;
BEGIN
  IF cardinality(p_keys) = 1 THEN
    RETURN QUERY
    SELECT c.id, (p_keys[1]).tenant_id, (p_keys[1]).priority, c.scheduled_at, c.input_tokens, c.output_tokens, 0::float8, 0::float8, false
    FROM (
      SELECT r.*, sum(r.input_tokens) OVER w AS input_sum, sum(r.output_tokens) OVER w AS output_sum
      FROM (
        SELECT r.id, r.scheduled_at,
               least(greatest(1, coalesce(r.estimated_tokens, 0) - coalesce(r.output_cap, 4096)), 1000000000)::integer AS input_tokens,
               least(coalesce(r.output_cap, 4096), coalesce((v_means ->> (r.agent_id || E'\n' || r.task_type))::float8, v_mean))::integer
                 AS output_tokens
        FROM llm_requests r
        WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = l.lane AND r.tenant_id = (p_keys[1]).tenant_id
          AND r.priority = (p_keys[1]).priority
          AND (r.scheduled_at, r.id) >= ((p_keys[1]).low, (p_keys[1]).low_id) AND r.scheduled_at <= p_now AND (r.expires_at IS NULL OR r.expires_at > p_now)
        ORDER BY r.scheduled_at, r.id
        LIMIT p_room
      ) r
      WINDOW w AS (ORDER BY r.scheduled_at, r.id ROWS UNBOUNDED PRECEDING)
    ) c
    WHERE c.input_sum - c.input_tokens < p_input AND c.output_sum - c.output_tokens < p_output
      AND c.input_sum - c.input_tokens + c.output_sum - c.output_tokens < p_tokens;
    RETURN;
  END IF;

  -- Twice an equal share each, of so many tenants one row; all the room, where some have less than theirs.
  v_count := (SELECT count(DISTINCT k.tenant_id) FROM unnest(p_keys) k);
  v_each := CASE WHEN v_count >= p_room THEN 1 ELSE ceil(2.0 * p_room / v_count) END;
  LOOP
    RETURN QUERY
    WITH candidate AS MATERIALIZED (
      SELECT k.tenant_id, k.priority, k.n AS turn, r.*
      FROM unnest(p_keys) WITH ORDINALITY AS k (tenant_id, priority, low, low_id, n)
      CROSS JOIN LATERAL (
        SELECT r.id, r.scheduled_at,
               least(greatest(1, coalesce(r.estimated_tokens, 0) - coalesce(r.output_cap, 4096)), 1000000000)::integer AS input_tokens,
               least(coalesce(r.output_cap, 4096), coalesce((v_means ->> (r.agent_id || E'\n' || r.task_type))::float8, v_mean))::integer
                 AS output_tokens
        FROM llm_requests r
        WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = l.lane AND r.tenant_id = k.tenant_id AND r.priority = k.priority
          AND (r.scheduled_at, r.id) >= (k.low, k.low_id) AND r.scheduled_at <= p_now AND (r.expires_at IS NULL OR r.expires_at > p_now)
        ORDER BY r.scheduled_at, r.id
        LIMIT v_each
      ) r
    ), ranked AS (
      SELECT c.*, min(c.turn) OVER (PARTITION BY c.tenant_id) AS tenant_turn,
             row_number() OVER (PARTITION BY c.tenant_id ORDER BY c.priority, c.scheduled_at, c.id) AS by_priority,
             row_number() OVER (PARTITION BY c.tenant_id ORDER BY c.scheduled_at, c.id) AS by_age
      FROM candidate c
    ), queued AS (
      SELECT r.*, coalesce(w.weight, 1)::float8 AS weight, greatest(l.virtual_time, s.virtual_time) AS tenant_at,
             row_number() OVER (PARTITION BY r.tenant_id
                                ORDER BY least(r.by_priority, 10 * r.by_age - l.turns % 10 - 0.5), r.by_priority) AS place
      FROM ranked r
      LEFT JOIN llm_shares s ON s.lane = l.lane AND s.tenant_id = r.tenant_id
      LEFT JOIN llm_tenants w ON w.tenant_id = r.tenant_id
    ), tagged AS (
      SELECT q.*, q.tenant_at + sum((q.input_tokens + q.output_tokens) / q.weight) OVER (
                    PARTITION BY q.tenant_id ORDER BY q.place ROWS UNBOUNDED PRECEDING) AS end_at
      FROM queued q
    ), ordered AS (
      SELECT t.*, t.end_at - (t.input_tokens + t.output_tokens) / t.weight AS start_at, row_number() OVER o AS n,
             sum(t.input_tokens) OVER o AS input_sum, sum(t.output_tokens) OVER o AS output_sum, count(*) OVER () AS candidates
      FROM tagged t
      WINDOW o AS (ORDER BY t.end_at - (t.input_tokens + t.output_tokens) / t.weight, t.tenant_turn, t.place
                   ROWS UNBOUNDED PRECEDING)
    ), fitting AS MATERIALIZED (
      SELECT o.*, count(*) OVER () AS taken FROM ordered o
      WHERE o.n <= p_room AND o.input_sum - o.input_tokens < p_input AND o.output_sum - o.output_tokens < p_output
        AND o.input_sum - o.input_tokens + o.output_sum - o.output_tokens < p_tokens
    )
    SELECT f.id, f.tenant_id, f.priority, f.scheduled_at, f.input_tokens, f.output_tokens, f.start_at, f.end_at,
           f.candidates > f.taken
    FROM fitting f
    -- Short of rows although a tenant may have more than it was asked for: ask again.
    WHERE v_each >= p_room OR f.taken >= p_room OR f.candidates > f.taken
       OR NOT EXISTS (SELECT FROM candidate c GROUP BY c.tenant_id, c.priority HAVING count(*) >= v_each);
    EXIT WHEN FOUND OR v_each >= p_room;
    v_each := p_room;
  END LOOP;
END
$$;

-- llmreq_pending_keys(lane, after, tenants, now) → (tenant_id, priority, low, low_id): where due rows stand
-- Where none do, one row without a tenant: its `low` is when the first one is scheduled, NULL if nothing is.
-- A loose index scan over the lane, one probe a key, from the tenant behind `after` and then around, so that none waits for
-- ever. `low` and `low_id` are the place before which that key is known to hold nothing.
-- Dead index entries pile up while an old snapshot is open. So where a claim took many rows a mark remembers how far it came,
-- and the walk goes around the marked stretches. Every two seconds one claim looks behind a mark, too: what appears there waits
-- no longer.
CREATE OR REPLACE FUNCTION llmreq_pending_keys(p_lane text, p_after text, p_tenants integer, p_now timestamptz)
RETURNS SETOF llmreq_key
LANGUAGE plpgsql ROWS 20
AS $$
DECLARE
  v_pauses boolean := EXISTS (SELECT FROM llm_tenants t WHERE t.paused);
  k llmreq_key;
  v_scheduled timestamptz;  -- of what is not due yet, the first
  v_marked boolean := EXISTS (SELECT FROM llm_marks m WHERE m.lane = p_lane);
  v_mark llm_marks;
  v_around boolean := p_after = '';
  v_tenant text := p_after;
  v_priority integer := CASE WHEN p_after = '' THEN -1 ELSE 32767 END;  -- the start, or behind all of that tenant's
  v_first timestamptz;
  v_counted text;
  v_count integer := 0;
  v_steps integer := 0;
BEGIN
  -- Each step is one probe: a bound, should thousands of tenants have nothing but delayed rows.
  FOR i IN 1 .. 1000 LOOP
    v_steps := v_steps + 1;
    v_mark := NULL;
    IF v_marked THEN
      SELECT m.* INTO v_mark FROM llm_marks m
      WHERE m.lane = p_lane AND (m.tenant_id, m.priority) > (v_tenant, v_priority)
      ORDER BY m.tenant_id, m.priority LIMIT 1;
    END IF;
    -- A range ends where it should only if it is a range of one column: so a mark's own tenant is looked at apart.
    k.low := '-infinity';
    k.low_id := '00000000-0000-0000-0000-000000000000';
    IF v_mark.lane IS NULL THEN
      SELECT r.tenant_id, r.priority, r.scheduled_at INTO k.tenant_id, k.priority, v_first FROM llm_requests r
      WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = p_lane AND (r.tenant_id, r.priority) > (v_tenant, v_priority)
      ORDER BY r.tenant_id, r.priority, r.scheduled_at LIMIT 1;
    ELSE
      k.tenant_id := NULL;
      IF v_mark.tenant_id > v_tenant THEN
        SELECT r.tenant_id, r.priority, r.scheduled_at INTO k.tenant_id, k.priority, v_first FROM llm_requests r
        WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = p_lane AND (r.tenant_id, r.priority) > (v_tenant, v_priority)
          AND r.tenant_id < v_mark.tenant_id
        ORDER BY r.tenant_id, r.priority, r.scheduled_at LIMIT 1;
        v_priority := -1;
      END IF;
      IF k.tenant_id IS NULL THEN
        SELECT r.tenant_id, r.priority, r.scheduled_at INTO k.tenant_id, k.priority, v_first FROM llm_requests r
        WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = p_lane AND r.tenant_id = v_mark.tenant_id
          AND r.priority > v_priority AND r.priority < v_mark.priority
        ORDER BY r.priority, r.scheduled_at LIMIT 1;
      END IF;
      IF k.tenant_id IS NULL THEN
        k.tenant_id := v_mark.tenant_id;
        k.priority := v_mark.priority;
        v_first := '-infinity';  -- whether anything is left there, the probe for rows will tell
        IF v_mark.walked_at > p_now - interval '2 s' THEN
          k.low := v_mark.low;
          k.low_id := v_mark.low_id;
        ELSE
          UPDATE llm_marks m SET walked_at = p_now
          WHERE m.lane = p_lane AND m.tenant_id = v_mark.tenant_id AND m.priority = v_mark.priority;
        END IF;
      END IF;
    END IF;
    IF k.tenant_id IS NULL THEN
      EXIT WHEN v_around;
      v_around := true;
      v_tenant := '';
      v_priority := -1;
      CONTINUE;
    END IF;
    EXIT WHEN v_around AND p_after <> '' AND k.tenant_id > p_after;
    v_tenant := k.tenant_id;
    v_priority := k.priority;
    IF v_first > p_now THEN
      v_scheduled := least(v_scheduled, v_first);
      CONTINUE;
    END IF;
    CONTINUE WHEN v_pauses AND EXISTS (SELECT FROM llm_tenants t WHERE t.tenant_id = v_tenant AND t.paused);
    IF v_tenant IS DISTINCT FROM v_counted THEN
      EXIT WHEN v_count = p_tenants;
      v_count := v_count + 1;
      v_counted := v_tenant;
    END IF;
    RETURN NEXT k;
    v_steps := NULL;  -- found something: the claim moves the cursor
  END LOOP;
  IF v_steps >= 1000 THEN
    UPDATE llm_lanes l SET tenant_cursor = v_tenant WHERE l.lane = p_lane;  -- the next walk goes on from there
    v_scheduled := p_now + interval '500 ms';
  END IF;
  IF v_steps IS NOT NULL THEN
    k := ROW(NULL, NULL, v_scheduled, NULL);
    RETURN NEXT k;
  END IF;
END
$$;
