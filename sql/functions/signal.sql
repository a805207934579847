-- llmreq_signal(lane, due, now, behind)
-- Says that a lane has something to claim from `due` on. It appends a row and waits for nobody, so anyone may call it in any transaction
-- (invariant 9); the next claim reads it. `behind`: what became pending may stand behind the marks of where the lane was empty.
-- Nothing is written for a lane that is due anyway, nor twice for one lane in one transaction, nor while no worker is there to read it:
-- the first one that comes looks at every lane (llmreq_beat_again).
CREATE OR REPLACE FUNCTION llmreq_signal(p_lane text, p_due timestamptz, p_now timestamptz, p_behind boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  v_due timestamptz := greatest(p_due, p_now);
  v_last text := current_setting('llmreq.signalled', true);  -- 'microseconds lane': what this transaction knows to be due
BEGIN
  IF NOT p_behind THEN
    IF split_part(v_last, ' ', 2) = p_lane AND split_part(v_last, ' ', 1)::bigint <= extract(epoch FROM v_due) * 1000000 THEN
      RETURN;
    END IF;
    PERFORM set_config('llmreq.signalled', (extract(epoch FROM v_due) * 1000000)::bigint || ' ' || p_lane, true);
    IF EXISTS (SELECT FROM llm_due d WHERE d.lane = p_lane AND d.due_at <= v_due) THEN
      RETURN;
    END IF;
  END IF;
  IF p_lane IS NOT NULL AND EXISTS (SELECT FROM llm_workers w WHERE w.state <> 'dead' AND w.lease_until > p_now) THEN
    INSERT INTO llm_signals (lane, due_at, behind) VALUES (p_lane, v_due, p_behind);
  END IF;
END
$$;

-- llmreq_is_behind(row) → whether a mark says that where the row stands there is nothing
CREATE OR REPLACE FUNCTION llmreq_is_behind(r llm_requests) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM llm_marks m
    WHERE m.lane = r.lane AND m.tenant_id = r.tenant_id AND m.priority = r.priority AND (m.low, m.low_id) > (r.scheduled_at, r.id));
END
$$;

-- Whatever makes a row claimable again, an engine function or somebody's UPDATE, leaves a signal.
CREATE OR REPLACE FUNCTION llmreq_after_move() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM llmreq_signal(NEW.lane, NEW.scheduled_at, llmreq_now(), llmreq_is_behind(NEW));
  RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER llmreq_after_move
  -- The columns that an UPDATE names, and those whose edit makes llmreq_before_edit find another lane.
  AFTER UPDATE OF status, lane, budget_id, scheduled_at, tenant_id, priority, provider, model, task_type, complexity, quality, agent_name,
                  agent_version, messages, content, params, response_schema, tools
  ON llm_requests FOR EACH ROW
  WHEN (NEW.status = 'pending' AND NEW.budget_id IS NULL
        AND (OLD.status <> 'pending' OR OLD.budget_id IS NOT NULL OR OLD.lane <> NEW.lane OR OLD.scheduled_at > NEW.scheduled_at
             OR OLD.tenant_id <> NEW.tenant_id OR OLD.priority <> NEW.priority))
  EXECUTE FUNCTION llmreq_after_move();

-- A lane that is opened, whose block moves or whose limits an operator sets, is worth a visit. An operator's word is the newer one:
-- what was learned from answers is forgotten.
CREATE OR REPLACE FUNCTION llmreq_before_lane() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF (NEW.requests_per_minute, NEW.tokens_per_minute, NEW.input_tokens_per_minute, NEW.output_tokens_per_minute)
     IS DISTINCT FROM (OLD.requests_per_minute, OLD.tokens_per_minute, OLD.input_tokens_per_minute, OLD.output_tokens_per_minute) THEN
    NEW.seen_requests_per_minute := NULL;
    NEW.seen_tokens_per_minute := NULL;
    NEW.seen_input_tokens_per_minute := NULL;
    NEW.seen_output_tokens_per_minute := NULL;
    NEW.seen_at := NULL;
  END IF;
  IF NEW.model = '*' THEN
    INSERT INTO llm_signals (lane, due_at, behind)
    SELECT d.lane, greatest(NEW.blocked_until, llmreq_now()), false FROM llm_due d
    WHERE (d.provider = NEW.provider OR NEW.provider = '*') AND d.due_at > llmreq_now();
  ELSE
    PERFORM llmreq_signal(NEW.lane, NEW.blocked_until, llmreq_now());
  END IF;
  RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER llmreq_before_lane
  BEFORE UPDATE OF paused, blocked_until, max_in_flight, requests_per_minute, tokens_per_minute, input_tokens_per_minute,
                   output_tokens_per_minute, safety_margin, burst_seconds
  ON llm_lanes FOR EACH ROW
  WHEN (NOT NEW.paused AND (OLD.paused, OLD.blocked_until, OLD.max_in_flight, OLD.requests_per_minute, OLD.tokens_per_minute,
         OLD.input_tokens_per_minute, OLD.output_tokens_per_minute, OLD.safety_margin, OLD.burst_seconds) IS DISTINCT FROM
        (NEW.paused, NEW.blocked_until, NEW.max_in_flight, NEW.requests_per_minute, NEW.tokens_per_minute,
         NEW.input_tokens_per_minute, NEW.output_tokens_per_minute, NEW.safety_margin, NEW.burst_seconds))
  EXECUTE FUNCTION llmreq_before_lane();

-- A tenant that is resumed may have rows in any lane.
CREATE OR REPLACE FUNCTION llmreq_after_tenant() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO llm_signals (lane, due_at, behind)
  SELECT d.lane, llmreq_now(), true FROM llm_due d
  WHERE EXISTS (SELECT FROM llm_requests r
                WHERE r.status = 'pending' AND r.budget_id IS NULL AND r.lane = d.lane AND r.tenant_id = NEW.tenant_id);
  RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER llmreq_after_tenant AFTER UPDATE OF paused ON llm_tenants FOR EACH ROW
  WHEN (OLD.paused AND NOT NEW.paused) EXECUTE FUNCTION llmreq_after_tenant();
