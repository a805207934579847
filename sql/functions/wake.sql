-- llmreq_wake(now) → requests brought back
-- For every budget that requests wait for and that has room for at least one of them: brings back the first of them, by priority
-- and age, as many as its room can bear, and those that will never fit since it was lowered: the claim ends them. A part of
-- the claim; a budget that somebody else holds is left to them. A budget is looked at when its room may have grown (wake_at): when a
-- call gave back a hold, its limit was changed, or a new period began; of a hundred thousand that are used up none is read.
CREATE OR REPLACE FUNCTION llmreq_wake(p_now timestamptz) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  b llm_budgets;
  v_row record;
  v_ids uuid[];
  v_seen integer;
  v_usd numeric;  -- needed by the least of those that stay
  v_tokens bigint;
  v_total integer := 0;
BEGIN
  FOR b IN
    SELECT x.* FROM llm_budgets x WHERE x.waiting AND x.wake_at <= p_now AND x.counted
    ORDER BY x.wake_at LIMIT 50 FOR NO KEY UPDATE SKIP LOCKED
  LOOP
    CONTINUE WHEN b.period_start > p_now;
    b := llmreq_budget_now(b, p_now);
    IF llmreq_refusal(b, b.needs_usd, b.needs_tokens) IN ('held', 'exhausted') THEN
      UPDATE llm_budgets x SET wake_at = llmreq_period_end(b.period, p_now) WHERE x.id = b.id;
      CONTINUE;
    END IF;
    v_ids := '{}';
    v_seen := 0;
    v_usd := NULL;
    v_tokens := NULL;
    FOR v_row IN
      SELECT q.id, q.hold_usd, q.hold_tokens FROM llm_requests q
      WHERE q.status = 'pending' AND q.budget_id = b.id
      ORDER BY q.priority, q.scheduled_at, q.id LIMIT 500
      FOR NO KEY UPDATE SKIP LOCKED
    LOOP
      v_seen := v_seen + 1;
      IF coalesce(llmreq_refusal(b, v_row.hold_usd, v_row.hold_tokens) NOT IN ('held', 'exhausted'), true) THEN
        v_ids := v_ids || v_row.id;
        b.held_usd := b.held_usd + coalesce(v_row.hold_usd, 0);
        b.held_tokens := b.held_tokens + coalesce(v_row.hold_tokens, 0);
      ELSE
        v_usd := least(v_usd, v_row.hold_usd);
        v_tokens := least(v_tokens, v_row.hold_tokens);
      END IF;
    END LOOP;
    -- The claim takes their holds; here they only come back to the queue, and their lanes are signalled.
    UPDATE llm_requests q
    SET budget_id = NULL, wait_reason = NULL, hold_usd = NULL, hold_tokens = NULL, error_message = NULL, updated_at = p_now
    WHERE q.id = ANY (v_ids);
    UPDATE llm_budgets x
    SET waiting = v_usd IS NOT NULL OR v_seen = 500 OR EXISTS (
          SELECT FROM llm_requests q WHERE q.status = 'pending' AND q.budget_id = b.id),
        needs_usd = coalesce(v_usd, 0), needs_tokens = coalesce(v_tokens, 0),
        wake_at = CASE WHEN v_seen = 500 THEN x.wake_at ELSE llmreq_period_end(b.period, p_now) END
    WHERE x.id = b.id;
    v_total := v_total + cardinality(v_ids);
  END LOOP;
  RETURN v_total;
END
$$;
