-- Which lanes a claim visits. A poll costs the same beside a hundred thousand lanes that are closed, delayed or idle: it reads what is
-- due from an index and never walks the others. A lane that had work is visited at every poll for a second; then at pauses of half the
-- time it has been idle, so that a row whose transaction was open for long is met after half as long again at most; after four minutes
-- it sleeps until a signal, or the sweep, wakes it.

-- llmreq_heed_signals(now)
-- Reads what was signalled since the last poll: makes lanes that are new, and moves the others' next visit forward.
-- Two claims may do this at once: each passes over what the other holds, and makes lanes in the order of their names.
CREATE OR REPLACE FUNCTION llmreq_heed_signals(p_now timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  m llm_poll_marks;
  v_ids bigint[];
  v_lanes text[];
  v_held text[];
BEGIN
  SELECT x.* INTO m FROM llm_poll_marks x WHERE x.name = 'signals';
  v_ids := ARRAY(
    SELECT s.id FROM llm_signals s WHERE s.id >= coalesce(m.low_id, 0) ORDER BY s.id LIMIT 2000 FOR UPDATE SKIP LOCKED);
  IF m.name IS NULL OR m.moved_at < p_now - interval '2 s' THEN
    PERFORM llmreq_move_signals_mark(v_ids[1], p_now);
  END IF;
  IF v_ids = '{}' THEN
    RETURN;
  END IF;
  v_lanes := ARRAY(SELECT DISTINCT s.lane FROM llm_signals s WHERE s.id = ANY (v_ids));
  PERFORM llmreq_make_lanes(v_lanes, p_now);
  v_held := ARRAY(SELECT d.lane FROM llm_due d WHERE d.lane = ANY (v_lanes) ORDER BY d.lane FOR NO KEY UPDATE SKIP LOCKED);
  UPDATE llm_due d
  SET due_at = least(d.due_at, greatest(s.due_at, p_now)), behind = d.behind OR s.behind,
      worked_at = CASE WHEN s.due_at <= p_now THEN p_now ELSE d.worked_at END
  FROM (SELECT x.lane, min(x.due_at) AS due_at, bool_or(x.behind) AS behind FROM llm_signals x WHERE x.id = ANY (v_ids) GROUP BY x.lane) s
  WHERE d.lane = s.lane AND d.lane = ANY (v_held);
  DELETE FROM llm_signals s WHERE s.id = ANY (v_ids) AND s.lane = ANY (v_held);
END
$$;

-- llmreq_move_signals_mark(first id that is there, now)
-- While an old snapshot is open, signals that were read stay in the index. The mark says before which id there are none: what was there
-- two seconds ago and is not any more. A signal whose transaction was open for longer is behind it; the sweep finds its lane.
CREATE OR REPLACE FUNCTION llmreq_move_signals_mark(p_first bigint, p_now timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  v_newest bigint := (SELECT s.last_value FROM llm_signals_id_seq s);
BEGIN
  INSERT INTO llm_poll_marks (name, low, moved_at) VALUES ('signals', 'epoch', p_now) ON CONFLICT DO NOTHING;
  UPDATE llm_poll_marks x SET low_id = greatest(x.low_id, least(x.next_id, p_first)), next_id = v_newest, moved_at = p_now
  WHERE x.name = ANY (ARRAY(SELECT y.name FROM llm_poll_marks y WHERE y.name = 'signals' AND y.moved_at < p_now FOR UPDATE SKIP LOCKED))
    AND (x.low_id, x.next_id) <> (greatest(x.low_id, least(x.next_id, p_first)), v_newest);
END
$$;

-- llmreq_make_lanes(lanes, now)
-- A lane met for the first time gets its rows here, not in the producer's transaction. One that somebody's open transaction is
-- making at this moment is left to a later poll.
CREATE OR REPLACE FUNCTION llmreq_make_lanes(p_lanes text[], p_now timestamptz) RETURNS void
LANGUAGE plpgsql
SET lock_timeout = '50ms'
AS $$
DECLARE
  v_lane text;
BEGIN
  FOR v_lane IN
    SELECT x.lane FROM unnest(p_lanes) AS x (lane)
    WHERE NOT EXISTS (SELECT FROM llm_due d WHERE d.lane = x.lane) OR NOT EXISTS (SELECT FROM llm_lanes l WHERE l.lane = x.lane)
    ORDER BY x.lane
  LOOP
    BEGIN
      INSERT INTO llm_lanes (lane, provider, model)
      VALUES (v_lane, split_part(v_lane, '/', 1), substr(v_lane, strpos(v_lane, '/') + 1)) ON CONFLICT DO NOTHING;
      INSERT INTO llm_due (lane, provider, due_at, worked_at) VALUES (v_lane, split_part(v_lane, '/', 1), '9999-01-01 00:00:00+00', p_now)
      ON CONFLICT DO NOTHING;
    EXCEPTION WHEN OTHERS THEN
      IF SQLSTATE <> '55P03' THEN
        PERFORM llmreq_report('lane_refused', v_lane, SQLSTATE);  -- as by somebody's trigger: its rows wait, the others' do not
      END IF;
    END;
  END LOOP;
END
$$;

-- llmreq_due_lanes(providers, limit, now) → rows of llm_due
-- Up to `limit` lanes that are due and that this worker serves. Of more, half are those that were due first, since each visit moves a
-- lane behind the others, and half those that came last: a fresh one does not stand behind thousands that were signalled together.
CREATE OR REPLACE FUNCTION llmreq_due_lanes(p_providers text[], p_limit integer, p_now timestamptz) RETURNS llm_due[]
LANGUAGE plpgsql
AS $$
DECLARE
  v_name text;
  v_low timestamptz;
  v_moved timestamptz;
  v_found llm_due[];
  v_due llm_due[] := '{}';
BEGIN
  IF EXISTS (SELECT FROM llm_lanes l WHERE l.lane = '*/*' AND l.paused) THEN
    RETURN v_due;
  END IF;
  FOREACH v_name IN ARRAY p_providers LOOP
    IF strpos(v_name, '/') > 0 THEN
      v_due := v_due || ARRAY(SELECT d FROM llm_due d WHERE d.lane = v_name AND d.due_at <= p_now);
      CONTINUE;
    END IF;
    CONTINUE WHEN EXISTS (SELECT FROM llm_lanes l WHERE l.lane = v_name || '/*' AND l.paused);
    SELECT x.low, x.moved_at INTO v_low, v_moved FROM llm_poll_marks x WHERE x.name = v_name;
    -- A clock that went back makes the mark worthless.
    v_low := CASE WHEN v_low <= p_now - interval '10 s' THEN v_low ELSE 'epoch' END;
    v_found := ARRAY(
      SELECT d FROM llm_due d WHERE d.provider = v_name AND d.due_at >= v_low AND d.due_at <= p_now ORDER BY d.due_at LIMIT p_limit);
    IF cardinality(v_found) >= p_limit THEN
      v_found := v_found[1 : p_limit / 2] || ARRAY(
        SELECT d FROM (
          SELECT d FROM llm_due d WHERE d.provider = v_name AND d.due_at >= v_low AND d.due_at <= p_now
          ORDER BY d.due_at DESC LIMIT p_limit) x
        WHERE (d).lane <> ALL (ARRAY(SELECT f.lane FROM unnest(v_found[1 : p_limit / 2]) f)) LIMIT p_limit - p_limit / 2);
    END IF;
    v_due := v_due || v_found;
    IF coalesce(v_moved < p_now - interval '2 s' OR v_moved > p_now, true) THEN
      PERFORM llmreq_move_due_mark(v_name, least((v_found[1]).due_at, p_now - interval '10 s'), p_now);
    END IF;
  END LOOP;
  IF cardinality(v_due) > p_limit THEN
    v_due := ARRAY(SELECT d FROM unnest(v_due) d ORDER BY random() LIMIT p_limit);  -- no provider is always last
  END IF;
  RETURN v_due;
END
$$;

-- llmreq_move_due_mark(provider, low, now)
-- Before `low` no lane of that provider is due: entries of visits past, which an old snapshot keeps in the index, are not walked again.
CREATE OR REPLACE FUNCTION llmreq_move_due_mark(p_provider text, p_low timestamptz, p_now timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO llm_poll_marks (name, low, moved_at) VALUES (p_provider, p_low, p_now) ON CONFLICT DO NOTHING;
  UPDATE llm_poll_marks x SET low = p_low, moved_at = p_now
  WHERE x.name = ANY (ARRAY(SELECT y.name FROM llm_poll_marks y WHERE y.name = p_provider AND y.moved_at <> p_now FOR UPDATE SKIP LOCKED));
END
$$;

-- llmreq_reschedule(due row as it was read, at, worked, now)
-- Writes down when a lane is visited next; `worked`: it had rows to give. Nothing is written that would change little, and nothing
-- if a signal came meanwhile: then the row is not what it was.
CREATE OR REPLACE FUNCTION llmreq_reschedule(d llm_due, p_at timestamptz, p_worked boolean, p_now timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  v_worked timestamptz := CASE WHEN p_worked AND d.worked_at < p_now - interval '250 ms' THEN p_now ELSE d.worked_at END;
  v_at timestamptz := coalesce(p_at, CASE WHEN d.due_at < p_now - interval '2 s' THEN p_now ELSE d.due_at END);
BEGIN
  IF v_at = d.due_at AND v_worked = d.worked_at AND NOT d.behind THEN
    RETURN;
  END IF;
  UPDATE llm_due x SET due_at = v_at, worked_at = v_worked, behind = false
  WHERE x.lane = ANY (ARRAY(
    SELECT y.lane FROM llm_due y
    WHERE y.lane = d.lane AND y.due_at = d.due_at AND y.worked_at = d.worked_at AND y.behind = d.behind FOR NO KEY UPDATE SKIP LOCKED));
END
$$;

-- llmreq_next_visit(due row, first scheduled row, now) → when a lane that had nothing to give is visited next; NULL: at the next poll
CREATE OR REPLACE FUNCTION llmreq_next_visit(d llm_due, p_scheduled timestamptz, p_now timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE WHEN x.idle < interval '1 s' THEN NULL
              ELSE greatest(p_now, least(p_scheduled, CASE WHEN x.idle > interval '4 min' THEN '9999-01-01 00:00:00+00' ELSE p_now + x.idle / 2 END)) END
  FROM (SELECT p_now - (d).worked_at AS idle) x
$$;

-- llmreq_sweep_lanes(limit) → lanes woken
-- Looks through the lanes with pending rows, `limit` a turn, for those that have something due and are asleep: what came in with triggers
-- off, as a restore does it, or in a transaction that was open for minutes. One worker a second takes a turn.
CREATE OR REPLACE FUNCTION llmreq_sweep_lanes(p_limit integer DEFAULT 100) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan SET lock_timeout = '1s'
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  v_lane text := llmreq_take_turn('sweep_lanes', interval '900 ms');
  v_seen integer := 0;
  v_woken integer := 0;
BEGIN
  IF v_lane IS NULL THEN
    RETURN 0;
  END IF;
  FOR v_lane IN SELECT p.lane FROM llmreq_pending_lanes(v_lane, p_limit) p LOOP
    v_seen := v_seen + 1;
    IF NOT EXISTS (SELECT FROM llm_due d WHERE d.lane = v_lane AND d.due_at <= v_now)
       AND EXISTS (SELECT FROM llmreq_pending_keys(v_lane, '', 1, v_now) k WHERE k.tenant_id IS NOT NULL) THEN
      INSERT INTO llm_signals (lane, due_at, behind) VALUES (v_lane, v_now, true);
      v_woken := v_woken + 1;
    END IF;
  END LOOP;
  PERFORM llmreq_end_turn('sweep_lanes', CASE WHEN v_seen = p_limit THEN v_lane ELSE '' END);
  RETURN v_woken;
END
$$;

-- llmreq_pending_lanes(after, limit) → lanes with at least one pending row, in order
-- A loose index scan: one probe a lane, not one a row. A loop rather than a recursive CTE, because PL/pgSQL keeps its plan. It
-- steps over lanes that have marks, as llmreq_pending_keys does.
CREATE OR REPLACE FUNCTION llmreq_pending_lanes(p_after text DEFAULT '', p_limit integer DEFAULT 2147483647) RETURNS TABLE (lane text)
LANGUAGE plpgsql STABLE ROWS 10
AS $$
#variable_conflict use_column
DECLARE
  v_last text := p_after;
  v_mark text;
BEGIN
  SELECT m.lane INTO v_mark FROM llm_marks m WHERE m.lane > v_last ORDER BY m.lane LIMIT 1;
  FOR i IN 1 .. p_limit LOOP
    IF v_mark IS NULL THEN
      SELECT r.lane INTO lane FROM llm_requests r
      WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane > v_last ORDER BY r.lane LIMIT 1;
      EXIT WHEN NOT FOUND;
    ELSE
      SELECT r.lane INTO lane FROM llm_requests r
      WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane > v_last AND r.lane < v_mark ORDER BY r.lane LIMIT 1;
      IF NOT FOUND THEN
        lane := v_mark;
        SELECT m.lane INTO v_mark FROM llm_marks m WHERE m.lane > llmreq_pending_lanes.lane ORDER BY m.lane LIMIT 1;
      END IF;
    END IF;
    v_last := llmreq_pending_lanes.lane;
    RETURN NEXT;
  END LOOP;
END
$$;
