-- llmreq_wake(now) → requests brought back
-- For every budget whose room may have changed: decides again about the requests that wait for it. What fits now comes back, and so does
-- what can never fit, or what the budget's on_exhausted says must not wait any longer: the claim takes, ends or degrades it. A part of
-- the claim; a budget that somebody else holds is left to them. A budget is looked at when its room may have grown or its money is spent
-- (wake_at): when a call was settled, its limit was changed, or a new period began; of a hundred thousand that are used up none is read.
CREATE OR REPLACE FUNCTION llmreq_wake(p_now timestamptz) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  b llm_budgets;
  v_ids uuid[];
  v_total integer := 0;
BEGIN
  FOR b IN
    SELECT x.* FROM llm_budgets x WHERE x.waiting AND x.wake_at <= p_now AND x.counted
    ORDER BY x.wake_at LIMIT 50 FOR NO KEY UPDATE SKIP LOCKED
  LOOP
    CONTINUE WHEN b.period_start > p_now;
    b := llmreq_budget_now(b, p_now);
    -- Where not even the least need is met nobody has to be asked (needs_usd and needs_tokens are lower bounds).
    v_ids := CASE WHEN b.on_exhausted = 'wait' AND llmreq_waits(b, b.needs_usd, b.needs_tokens) THEN '{}' ELSE llmreq_wakeable(b) END;
    -- The claim takes their holds; here they only come back to the queue, and their lanes are signalled.
    UPDATE llm_requests q
    SET budget_id = NULL, wait_reason = NULL, hold_usd = NULL, hold_tokens = NULL, error_message = NULL, updated_at = p_now
    WHERE q.id = ANY (v_ids);
    UPDATE llm_budgets x
    SET waiting = EXISTS (SELECT FROM llm_requests q WHERE q.status = 'pending' AND q.budget_id = b.id),
        wake_at = CASE WHEN cardinality(v_ids) >= 50 THEN p_now ELSE llmreq_period_end(b.period, p_now) END,
        tenant_cursor = coalesce((SELECT q.tenant_id FROM llm_requests q WHERE q.id = v_ids[cardinality(v_ids)]), x.tenant_cursor)
    WHERE x.id = b.id;
    v_total := v_total + cardinality(v_ids);
  END LOOP;
  RETURN v_total;
END
$$;

-- llmreq_wakeable(budget) → ids of requests about which it decides otherwise than that they wait, some dozens at most
-- In turns of one request a tenant, from the one behind the cursor and then around, so that whoever waits with many does not hold up who
-- waits with few. Of a tenant the first by priority and age; where that does not fit, the one that needs least.
CREATE OR REPLACE FUNCTION llmreq_wakeable(b llm_budgets) RETURNS uuid[]
LANGUAGE plpgsql
AS $$
DECLARE
  v_ids uuid[] := '{}';
  v_tenant text := b.tenant_cursor;
  v_around boolean := b.tenant_cursor = '';
  v_found boolean := false;
  r llm_requests;
BEGIN
  FOR i IN 1 .. 300 LOOP
    EXIT WHEN cardinality(v_ids) >= 50;
    SELECT q.tenant_id INTO v_tenant FROM llm_requests q
    WHERE q.status = 'pending' AND q.budget_id = b.id AND q.tenant_id > v_tenant ORDER BY q.tenant_id LIMIT 1;
    IF NOT FOUND THEN
      EXIT WHEN v_around AND NOT v_found;
      v_around := true;
      v_found := false;
      v_tenant := '';
      CONTINUE;
    END IF;
    r := llmreq_next_wakeable(b, v_tenant, v_ids);
    CONTINUE WHEN r.id IS NULL;
    v_found := true;
    v_ids := v_ids || r.id;
    IF llmreq_refusal(b, r.hold_usd, r.hold_tokens) IS NULL THEN
      b.held_usd := b.held_usd + coalesce(r.hold_usd, 0);
      b.held_tokens := b.held_tokens + coalesce(r.hold_tokens, 0);
    END IF;
  END LOOP;
  RETURN v_ids;
END
$$;

-- llmreq_next_wakeable(budget, tenant, taken) → the request of a tenant that it decides about next; a row of NULLs where all still wait
CREATE OR REPLACE FUNCTION llmreq_next_wakeable(b llm_budgets, p_tenant text, p_taken uuid[]) RETURNS llm_requests
LANGUAGE plpgsql
AS $$
DECLARE
  r llm_requests;
BEGIN
  SELECT q.* INTO r FROM (
    SELECT q.* FROM llm_requests q
    WHERE q.status = 'pending' AND q.budget_id = b.id AND q.tenant_id = p_tenant
    ORDER BY q.priority, q.scheduled_at, q.id LIMIT 1 + cardinality(p_taken)) q
  WHERE q.id <> ALL (p_taken) AND NOT llmreq_waits(b, q.hold_usd, q.hold_tokens) LIMIT 1;
  IF NOT FOUND THEN
    SELECT q.* INTO r FROM (
      (SELECT q.* FROM llm_requests q
       WHERE q.status = 'pending' AND q.budget_id = b.id AND q.tenant_id = p_tenant
       ORDER BY q.hold_usd LIMIT 1 + cardinality(p_taken))
      UNION ALL
      (SELECT q.* FROM llm_requests q
       WHERE q.status = 'pending' AND q.budget_id = b.id AND q.tenant_id = p_tenant AND b.limit_tokens IS NOT NULL
       ORDER BY q.hold_tokens LIMIT 1 + cardinality(p_taken))
      UNION ALL
      -- What must not wait any longer needs most.
      (SELECT q.* FROM llm_requests q
       WHERE q.status = 'pending' AND q.budget_id = b.id AND q.tenant_id = p_tenant
       ORDER BY q.hold_usd DESC LIMIT 1 + cardinality(p_taken))
      UNION ALL
      (SELECT q.* FROM llm_requests q
       WHERE q.status = 'pending' AND q.budget_id = b.id AND q.tenant_id = p_tenant AND b.limit_tokens IS NOT NULL
       ORDER BY q.hold_tokens DESC LIMIT 1 + cardinality(p_taken))) q
    WHERE q.id <> ALL (p_taken) AND NOT llmreq_waits(b, q.hold_usd, q.hold_tokens) LIMIT 1;
  END IF;
  IF FOUND THEN
    SELECT q.* INTO r FROM llm_requests q WHERE q.id = r.id AND q.status = 'pending' AND q.budget_id = b.id FOR NO KEY UPDATE SKIP LOCKED;
  END IF;
  RETURN r;
END
$$;

-- llmreq_waits(budget, usd, tokens) → whether a request that may cost so much goes on waiting for it
-- It does beside what others hold, and, where on_exhausted is wait, for the next period; never for what an empty budget could not bear.
CREATE OR REPLACE FUNCTION llmreq_waits(b llm_budgets, p_usd numeric, p_tokens bigint) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  v_refusal text := llmreq_refusal(b, p_usd, p_tokens);
BEGIN
  RETURN coalesce(v_refusal = 'held' OR v_refusal = 'exhausted' AND b.on_exhausted = 'wait', false);
END
$$;
