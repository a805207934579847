-- llmreq_left() → (running, movable, later, stuck)
-- What is still open, for a worker that should end when nothing is left to do.
--   running   claimed by some worker
--   movable   pending and due, or waiting for a retry, a rate limit or a provider that is away
--   later     pending, scheduled for later by its producer
--   stuck     pending in a lane that is paused, that no live worker serves, or whose provider did not answer three probes in a row; or for
--             a budget that has no room
CREATE OR REPLACE FUNCTION llmreq_left()
RETURNS TABLE (running bigint, movable bigint, later bigint, stuck bigint)
LANGUAGE plpgsql
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
BEGIN
  -- One statement, one snapshot: what moves from pending to processing meanwhile is counted once, not never.
  SELECT (SELECT count(*) FROM llm_requests r WHERE r.status = 'processing'),
         coalesce(sum(n.due) FILTER (WHERE n.open), 0),
         coalesce(sum(n.later), 0),
         coalesce(sum(n.due) FILTER (WHERE NOT n.open), 0)
  INTO running, movable, later, stuck
  FROM (
    SELECT count(*) FILTER (WHERE r.scheduled_at <= v_now OR r.claimed_at IS NOT NULL) AS due,
           count(*) FILTER (WHERE NOT (r.scheduled_at <= v_now OR r.claimed_at IS NOT NULL)) AS later,
           llmreq_served(r.lane) AND NOT llmreq_paused(r.lane)
             AND NOT EXISTS (SELECT FROM llm_lanes l WHERE l.lane = r.lane AND l.breaker_opened > 3) AS open
    FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id IS NULL
    GROUP BY r.lane
    UNION ALL
    SELECT count(*), 0, NOT llmreq_waits(llmreq_budget_now(b, v_now), min(r.hold_usd), min(r.hold_tokens))
                        OR NOT llmreq_waits(llmreq_budget_now(b, v_now), max(r.hold_usd), max(r.hold_tokens))
    FROM llm_requests r JOIN llm_budgets b ON b.id = r.budget_id
    WHERE r.status = 'pending' AND r.budget_id IS NOT NULL
    GROUP BY b.id
  ) n;
  RETURN NEXT;
END
$$;
