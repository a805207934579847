-- llmreq_scopes(tenant, agent, task_type, lane, run) → (scope, subject)
-- Every name under which a budget can cover a call. A model may be named alone or with its provider, and covers its dated snapshots
-- (families as in the price book). What is done without any
-- provider (local/rules, local/pages) costs nothing and no budget covers it: a request that is degraded to it is never refused again.
CREATE OR REPLACE FUNCTION llmreq_scopes(p_tenant text, p_agent text, p_task_type text, p_lane text, p_run uuid)
RETURNS TABLE (scope text, subject text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 7
AS $$
  SELECT s.scope, s.subject
  FROM (VALUES ('all', ''), ('tenant', p_tenant), ('agent', p_agent), ('task_type', p_task_type),
               ('provider', split_part(p_lane, '/', 1)), ('model', p_lane), ('model', substr(p_lane, strpos(p_lane, '/') + 1)),
               ('run', p_run::text),
               ('model', nullif(llmreq_model_family(p_lane), p_lane)),
               ('model', CASE WHEN llmreq_model_family(p_lane) <> p_lane
                              THEN llmreq_model_family(substr(p_lane, strpos(p_lane, '/') + 1)) END)) AS s (scope, subject)
  WHERE p_lane NOT IN ('local/rules', 'local/pages') AND s.subject IS NOT NULL
$$;

-- llmreq_period_start(period, at) → when the hour, UTC day or month of that moment began; the epoch for a total
CREATE OR REPLACE FUNCTION llmreq_period_start(p_period text, p_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE WHEN p_period = 'total' THEN 'epoch' ELSE date_trunc(p_period, p_at, 'UTC') END
$$;

-- llmreq_period_end(period, at) → when the next one begins; never for a total
CREATE OR REPLACE FUNCTION llmreq_period_end(p_period text, p_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE WHEN p_period = 'total' THEN '9999-01-01 00:00:00+00'
              ELSE (llmreq_period_start(p_period, p_at) AT TIME ZONE 'UTC' + ('1 ' || p_period)::interval) AT TIME ZONE 'UTC' END
$$;

-- llmreq_budget_now(budget, now) → budget
-- As it stands in the period of `now`: a new period begins with nothing spent and nothing held. What was claimed before it counts
-- in the period it was claimed in, so a call that runs over midnight is in one day's books and not in the other's.
CREATE OR REPLACE FUNCTION llmreq_budget_now(b llm_budgets, p_now timestamptz) RETURNS llm_budgets
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  v_start timestamptz := llmreq_period_start(b.period, p_now);
BEGIN
  IF v_start > b.period_start THEN
    b.period_start := v_start;
    b.spent_usd := 0;
    b.held_usd := 0;
    b.spent_tokens := 0;
    b.held_tokens := 0;
    b.warned := 0;
  END IF;
  RETURN b;
END
$$;

-- llmreq_refusal(budget, usd, tokens) → why a call that may cost so much cannot start now; NULL when it can
--   held       it would fit but for what other calls hold: some of that comes back
--   exhausted  too much is spent in this period
--   never      it would not fit an empty budget
--   unpriced   the budget is in dollars and nobody knows what the call may cost
--   unbounded  nobody can say how many tokens the call may have
CREATE OR REPLACE FUNCTION llmreq_refusal(b llm_budgets, p_usd numeric, p_tokens bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE
    WHEN p_tokens IS NULL THEN 'unbounded'
    WHEN (b).limit_usd IS NOT NULL AND p_usd IS NULL THEN 'unpriced'
    -- A limit of 0 is a stop, not a size.
    WHEN p_usd > (b).limit_usd AND (b).limit_usd > 0 OR p_tokens > (b).limit_tokens AND (b).limit_tokens > 0 THEN 'never'
    WHEN p_usd > 0 AND p_usd > (b).limit_usd - (b).spent_usd OR p_tokens > (b).limit_tokens - (b).spent_tokens THEN 'exhausted'
    WHEN p_usd > 0 AND p_usd > (b).limit_usd - (b).spent_usd - (b).held_usd
      OR p_tokens > (b).limit_tokens - (b).spent_tokens - (b).held_tokens THEN 'held'
  END
$$;

-- llmreq_budget_name(budget) → 'tenant acme: $50 and 2000000 tokens a day'
CREATE OR REPLACE FUNCTION llmreq_budget_name(b llm_budgets) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT concat_ws(' ', (b).scope, nullif((b).subject, '')) || ': '
         || concat_ws(' and ', '$' || trim_scale((b).limit_usd), (b).limit_tokens || ' tokens')
         || CASE (b).period WHEN 'hour' THEN ' an hour' WHEN 'total' THEN ' in total' ELSE ' a ' || (b).period END
$$;

-- llmreq_count_budget(budget, now) → budget, with what the present period has cost and what calls under way hold, counted anew
CREATE OR REPLACE FUNCTION llmreq_count_budget(b llm_budgets, p_now timestamptz) RETURNS llm_budgets
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  b.period_start := llmreq_period_start(b.period, p_now);
  IF b.period = 'hour' THEN
    SELECT coalesce(sum(a.cost_usd), 0) + coalesce(sum(a.ceiling_usd), 0), coalesce(sum(llmreq_charged_tokens(a)), 0)
    INTO b.spent_usd, b.spent_tokens
    FROM llm_attempts a
    WHERE a.claimed_at >= b.period_start
      AND EXISTS (SELECT FROM llmreq_scopes(a.tenant_id, a.agent_id, a.task_type, a.lane, a.run_id) s
                  WHERE s.scope = b.scope AND s.subject = b.subject);
  ELSE
    SELECT coalesce(sum(u.cost_usd + u.ceiling_usd), 0),
           coalesce(sum(u.input_tokens + u.cache_read_tokens + u.cache_write_5m_tokens + u.cache_write_1h_tokens
                        + u.output_tokens + u.bound_tokens), 0)
    INTO b.spent_usd, b.spent_tokens
    FROM llm_usage_daily u
    WHERE u.day >= (b.period_start AT TIME ZONE 'UTC')::date
      AND EXISTS (SELECT FROM llmreq_scopes(u.tenant_id, u.agent_id, u.task_type, u.provider || '/' || u.model, u.run_id) s
                  WHERE s.scope = b.scope AND s.subject = b.subject);
  END IF;
  SELECT coalesce(sum(r.hold_usd), 0), coalesce(sum(r.hold_tokens), 0) INTO b.held_usd, b.held_tokens
  FROM llm_requests r
  WHERE r.status = 'processing' AND r.claimed_at >= b.period_start
    AND EXISTS (SELECT FROM llmreq_scopes(r.tenant_id, r.agent_id, r.task_type, r.lane, r.run_id) s
                WHERE s.scope = b.scope AND s.subject = b.subject);
  RETURN b;
END
$$;

-- The trigger before a budget is made, moved to another scope or period, or changed. A new or moved one is not counted yet: the next
-- claim counts it (llmreq_open_books). So whoever makes one locks nothing but its row, for however long his transaction is open.
CREATE OR REPLACE FUNCTION llmreq_before_budget() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF NEW.scope = 'model' AND NEW.subject LIKE '%*%' THEN
    RAISE EXCEPTION 'a budget of model %: patterns are not matched', NEW.subject USING ERRCODE = '22023',
      HINT = 'Name a model, which covers its dated snapshots, or its provider.';
  END IF;
  NEW.updated_at := llmreq_now();
  NEW.wake_at := 'epoch';
  NEW.needs_usd := 0;  -- a limit that was lowered may be below what somebody needs: all are asked
  NEW.needs_tokens := 0;
  IF TG_OP = 'UPDATE' AND (NEW.scope, NEW.subject, NEW.period) IS NOT DISTINCT FROM (OLD.scope, OLD.subject, OLD.period) THEN
    RETURN NEW;
  END IF;
  NEW.counted := false;
  NEW.period_start := 'epoch';
  NEW.spent_usd := 0;
  NEW.held_usd := 0;
  NEW.spent_tokens := 0;
  NEW.held_tokens := 0;
  NEW.warned := 0;
  NEW.waiting := false;
  RETURN NEW;
END
$$;

-- llmreq_open_books(now) → whether there are budgets
-- For every statement that takes holds or books calls: until it commits nobody begins to count a budget, and none that is counted
-- changes under it. A budget that is new is counted first, exactly, with the books shut for milliseconds; if they are busy it is left
-- to the next claim, and until it is counted what it covers is not claimed: no cap has a gap at its beginning.
CREATE OR REPLACE FUNCTION llmreq_open_books(p_now timestamptz) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
  IF EXISTS (SELECT FROM llm_budgets b WHERE NOT b.counted) THEN
    PERFORM llmreq_count_budgets(p_now);
  END IF;
  PERFORM pg_advisory_xact_lock_shared(llmreq_books_lock());
  RETURN EXISTS (SELECT FROM llm_budgets);
END
$$;

-- llmreq_books_lock() → the key of the lock on this schema's budgets as a whole
CREATE OR REPLACE FUNCTION llmreq_books_lock() RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN 7823391::bigint << 32 | 'llm_budgets'::regclass::oid::bigint;
END
$$;

-- llmreq_count_budgets(now) → budgets counted
-- Every statement that moves a budget's figures shares the lock this takes alone: so none is half-way while it counts.
CREATE OR REPLACE FUNCTION llmreq_count_budgets(p_now timestamptz) RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '200ms'
AS $$
DECLARE
  b llm_budgets;
  v_count integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(llmreq_books_lock());
  FOR b IN SELECT x.* FROM llm_budgets x WHERE NOT x.counted ORDER BY x.id LIMIT 50 FOR NO KEY UPDATE SKIP LOCKED LOOP
    b := llmreq_count_budget(b, p_now);
    UPDATE llm_budgets x
    SET period_start = b.period_start, spent_usd = b.spent_usd, held_usd = b.held_usd, spent_tokens = b.spent_tokens,
        held_tokens = b.held_tokens, counted = true
    WHERE x.id = b.id;
    v_count := v_count + 1;
  END LOOP;
  RETURN v_count;
EXCEPTION WHEN lock_not_available THEN
  RETURN 0;
END
$$;

-- llmreq_charged_tokens(attempt) → the tokens a budget counts for it: as billed, else the most it can have been
CREATE OR REPLACE FUNCTION llmreq_charged_tokens(a llm_attempts) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT coalesce((a).input_tokens, 0) + coalesce((a).cache_read_tokens, 0) + coalesce((a).cache_write_5m_tokens, 0)
         + coalesce((a).cache_write_1h_tokens, 0) + coalesce((a).output_tokens, 0) + coalesce((a).bound_tokens, 0)
$$;

-- What waited for a budget that is taken away, covers others now or no longer lets wait, is looked at again by the next claim.
CREATE OR REPLACE FUNCTION llmreq_after_budget() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND (NEW.scope, NEW.subject, NEW.period, NEW.on_exhausted)
                          IS NOT DISTINCT FROM (OLD.scope, OLD.subject, OLD.period, OLD.on_exhausted) THEN
    RETURN NULL;
  END IF;
  UPDATE llm_requests
  SET budget_id = NULL, wait_reason = NULL, hold_usd = NULL, hold_tokens = NULL, error_message = NULL, updated_at = llmreq_now()
  WHERE budget_id = OLD.id AND status = 'pending';
  RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER llmreq_before_budget BEFORE INSERT OR UPDATE OF scope, subject, period, limit_usd, limit_tokens, on_exhausted
  ON llm_budgets FOR EACH ROW EXECUTE FUNCTION llmreq_before_budget();
CREATE OR REPLACE TRIGGER llmreq_after_budget AFTER DELETE OR UPDATE OF scope, subject, period, on_exhausted
  ON llm_budgets FOR EACH ROW EXECUTE FUNCTION llmreq_after_budget();
