-- llmreq_next_step(…) → (next, lane, route_position)
-- What becomes of a request after one call:
--   completed, failed, cancelled   its end
--   released, lane                 pending again, uncharged
--   unsent                         the same, later: nothing ever left, so the request waits with its lane
--   fits, paginated                a worker's own step: pending on its real lane, or waiting for its pages; uncharged
--   backoff, reask, larger_cap     pending again on the same lane
--   fallback                       pending again on the route's next candidate, from the beginning
CREATE OR REPLACE FUNCTION llmreq_next_step(
  p_outcome text, p_attempts integer, p_max_attempts integer, p_retry text, p_fallback boolean, p_cancelled boolean,
  p_last_code text, p_same_mistake boolean, p_output_cap integer, p_route_id integer, p_route_position integer,
  p_step text, p_unsent boolean, p_task_type text,
  OUT next text, OUT lane text, OUT route_position smallint
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_again boolean;
BEGIN
  IF p_outcome = 'cancelled' OR p_cancelled THEN
    next := 'cancelled';
    RETURN;
  ELSIF p_outcome IN ('completed', 'released') THEN
    next := CASE WHEN p_outcome = 'completed' THEN coalesce(p_step, p_outcome) ELSE p_outcome END;
    RETURN;
  ELSIF p_retry = 'lane' THEN
    next := 'lane';
    RETURN;
  ELSIF p_attempts >= p_max_attempts AND NOT p_unsent THEN
    next := 'failed';
    RETURN;
  END IF;

  v_again := CASE p_retry
    WHEN 'never' THEN false
    -- The same mistake twice: telling the model again would only cost again.
    WHEN 'reask' THEN NOT p_same_mistake
    -- Doubled until the largest cap; then more room is not the answer.
    WHEN 'larger_cap' THEN p_output_cap < 64000
    -- An empty answer is worth one more call; a provider that is away twice running, the next candidate's.
    ELSE p_last_code IS DISTINCT FROM p_outcome OR (p_outcome <> 'empty_response' AND p_route_id IS NULL)
  END;
  next := CASE WHEN v_again THEN p_retry ELSE 'failed' END;
  IF NOT v_again AND p_fallback AND p_route_id IS NOT NULL THEN
    SELECT c.lane, c.route_position INTO lane, route_position FROM llmreq_next_candidate(p_route_id, p_route_position, p_task_type) c;
    IF lane IS NOT NULL THEN
      next := 'fallback';
      RETURN;
    END IF;
  END IF;
  -- With nowhere else to go a transport failure keeps trying while attempts remain.
  IF next = 'failed' AND p_retry = 'backoff' AND p_outcome <> 'empty_response' THEN
    next := 'backoff';
  END IF;
  IF p_unsent AND next = 'backoff' THEN
    next := 'unsent';
  END IF;
END
$$;

-- llmreq_next_candidate(route, position, task_type) → (lane, route_position): the first open candidate behind that place that can take it;
-- NULLs where there is none
CREATE OR REPLACE FUNCTION llmreq_next_candidate(
  p_route_id integer, p_position integer, p_task_type text, OUT lane text, OUT route_position smallint
)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  IF p_route_id IS NULL THEN
    RETURN;
  END IF;
  SELECT c.lane, c.position INTO lane, route_position
  FROM llm_routes t CROSS JOIN LATERAL unnest(t.candidates) WITH ORDINALITY AS c (lane, position)
  WHERE t.id = p_route_id AND c.position > p_position AND llmreq_can_take(c.lane, p_task_type) AND llmreq_open(c.lane)
  ORDER BY c.position LIMIT 1;
END
$$;

-- llmreq_mistakes(validation_errors) → text
-- What two answers must share to be the same mistake: kind, place and rule of every error.
CREATE OR REPLACE FUNCTION llmreq_mistakes(p_errors jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
AS $$
  SELECT string_agg(concat_ws('|', e ->> 'type', e ->> 'field', e ->> 'rule', e ->> 'message'), E'\n' ORDER BY n)
  FROM jsonb_array_elements(p_errors) WITH ORDINALITY AS x (e, n)
$$;

-- llmreq_backoff(attempts, retry_after_seconds) → interval
-- Exponential with full jitter: anything up to 1, 2, 4 … 60 seconds, never less than the provider asked for.
CREATE OR REPLACE FUNCTION llmreq_backoff(p_attempts integer, p_retry_after numeric) RETURNS interval
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
  SELECT make_interval(secs => greatest(
    coalesce(p_retry_after, 0), random() * least(60, power(2, least(greatest(p_attempts, 1), 10) - 1))))
$$;
