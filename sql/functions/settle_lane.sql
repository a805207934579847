-- llmreq_settle_lane(lane, change, now)
-- What a batch of ended calls does to its lane: gives back the calls in flight, settles the token buckets, opens or closes it.
--   Tokens: what was held and not used comes back; what was used beyond it is charged, as debt if need be. What the provider
--   counts by its output cap does not come back.
--   Headers: `remaining` may lower a level when little is left, never raise it; `limit` is kept as what the provider named.
--   Retry-After blocks the lane for the whole fleet; a 429 that does not say for how long, or one more after what was asked, blocks it
--   for 1, 2, 4 … 60 seconds and then lets one call through, two, four (in_flight_window), until the answers come again.
--   Failures in a row open the breaker for 5, 10, 20 … 600 seconds, and the first answer closes it.
-- `change` is one JSON object, because it has many parts and is made once per lane and batch:
--   ended, unsent                        calls; unsent ones never reached the provider and give back their request as well
--   back_input, back_output              held tokens of calls that the provider did not count
--   spare_input, spare_output            held less used tokens of calls whose usage is known
--   cache_read, answers, output_tokens   of those calls
--   throttles, retry_after               calls answered 429, and how long the longest asked to wait
--   failures, successes, breaker, message, rate
CREATE OR REPLACE FUNCTION llmreq_settle_lane(p_lane text, p_change json, p_now timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  l llm_lanes;
  c record;
  v_input double precision;
  v_output double precision;
BEGIN
  SELECT * INTO l FROM llm_lanes x WHERE x.lane = p_lane FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT * INTO c FROM json_to_record(p_change) AS x (
    ended integer, unsent integer, back_input float8, back_output float8, spare_input float8, spare_output float8,
    cache_read float8, answers integer, output_tokens float8, throttles integer, retry_after numeric, failures integer,
    successes integer,
    breaker integer, message text, rate json);

  l := llmreq_heed_headers(l, c.rate, p_now);
  v_input := c.back_input + c.spare_input - CASE WHEN coalesce(l.counts_cache_reads, l.provider <> 'anthropic') THEN c.cache_read ELSE 0 END;
  v_output := c.back_output + CASE WHEN llmreq_counts_output_cap(l) THEN 0 ELSE c.spare_output END;
  l.request_level := l.request_level + c.unsent;
  l.token_level := l.token_level + v_input + v_output;
  l.input_level := l.input_level + v_input;
  l.output_level := l.output_level + v_output;
  IF c.answers > 0 THEN
    -- A moving mean over about the last hundred answers.
    l.mean_output_tokens := coalesce(l.mean_output_tokens, c.output_tokens / c.answers)
      + (c.output_tokens / c.answers - coalesce(l.mean_output_tokens, c.output_tokens / c.answers)) * least(1, c.answers / 100.0);
  END IF;

  IF c.successes > 0 THEN
    l.consecutive_failures := 0;
    l.breaker_opened := 0;
    l.throttled := 0;
    l.in_flight_window := nullif(least(l.in_flight_window + c.successes, 1000), 1000);
    IF l.block_reason = 'provider_down' THEN
      l.blocked_until := NULL;
      l.block_reason := NULL;
      l.block_message := NULL;
    END IF;
  ELSE
    l.consecutive_failures := l.consecutive_failures + c.failures;
  END IF;
  -- Calls that were under way when the breaker opened do not open it further.
  IF c.failures > 0 AND c.successes = 0 AND l.consecutive_failures >= c.breaker
     AND (l.breaker_opened = 0 OR l.blocked_until <= p_now) THEN
    l.blocked_until := greatest(l.blocked_until, p_now + make_interval(secs => least(600, 5 * power(2, least(l.breaker_opened, 10)))));
    l.breaker_opened := l.breaker_opened + 1;
    l.block_reason := 'provider_down';
    l.block_message := c.message;
  END IF;
  IF c.throttles > 0 THEN
    l := llmreq_throttle(l, c.retry_after, p_now);
  END IF;
  IF NOT (coalesce(l.blocked_until > p_now, false) OR l.breaker_opened > 0) THEN
    l.block_reason := NULL;
    l.block_message := NULL;
  END IF;
  UPDATE llm_lanes x
  SET in_flight = greatest(0, l.in_flight - c.ended), request_level = l.request_level, token_level = l.token_level,
      input_level = l.input_level, output_level = l.output_level, refilled_at = l.refilled_at,
      seen_requests_per_minute = l.seen_requests_per_minute, seen_tokens_per_minute = l.seen_tokens_per_minute,
      seen_input_tokens_per_minute = l.seen_input_tokens_per_minute,
      seen_output_tokens_per_minute = l.seen_output_tokens_per_minute, mean_output_tokens = l.mean_output_tokens,
      seen_at = l.seen_at, throttled = l.throttled, in_flight_window = l.in_flight_window,
      consecutive_failures = l.consecutive_failures, breaker_opened = l.breaker_opened, blocked_until = l.blocked_until,
      block_reason = l.block_reason, block_message = l.block_message, updated_at = p_now
  WHERE x.lane = p_lane;
END
$$;

-- llmreq_throttle(lane row, retry_after, now) → lane row, after an answer 429
-- Calls that were under way when the lane was blocked say nothing new, but for a longer time to wait.
CREATE OR REPLACE FUNCTION llmreq_throttle(l llm_lanes, p_retry_after numeric, p_now timestamptz) RETURNS llm_lanes
LANGUAGE plpgsql
AS $$
DECLARE
  v_seconds numeric := coalesce(p_retry_after, 0);
BEGIN
  IF l.throttled = 0 OR coalesce(l.blocked_until <= p_now, true) THEN
    l.throttled := least(l.throttled + 1, 1000);
    IF p_retry_after IS NULL OR l.throttled > 1 THEN
      v_seconds := greatest(v_seconds, least(60, power(2, least(l.throttled, 7) - 1)) * (1 + random()::numeric * 0.1));
      l.in_flight_window := 1;
    END IF;
  END IF;
  IF coalesce(l.blocked_until < p_now + make_interval(secs => v_seconds), true) THEN
    l.blocked_until := p_now + make_interval(secs => v_seconds);
    l.block_reason := coalesce(l.block_reason, 'rate_limit');
    l.block_message := coalesce(l.block_message, 'the provider answered 429');
  END IF;
  RETURN l;
END
$$;

-- llmreq_heed_headers(lane row, rate, now) → lane row, filled up to now
-- `rate`: {"requests": {"limit", "remaining"}, "tokens": …, "input-tokens": …, "output-tokens": …}, as the last answer said it.
CREATE OR REPLACE FUNCTION llmreq_heed_headers(l llm_lanes, p_rate json, p_now timestamptz) RETURNS llm_lanes
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
  IF p_rate IS NULL THEN
    RETURN llmreq_refill(l, p_now);
  END IF;
  l.seen_requests_per_minute := coalesce(llmreq_seen_limit(p_rate -> 'requests'), l.seen_requests_per_minute);
  l.seen_tokens_per_minute := coalesce(llmreq_seen_limit(p_rate -> 'tokens'), l.seen_tokens_per_minute);
  l.seen_input_tokens_per_minute := coalesce(llmreq_seen_limit(p_rate -> 'input-tokens'), l.seen_input_tokens_per_minute);
  l.seen_output_tokens_per_minute := coalesce(llmreq_seen_limit(p_rate -> 'output-tokens'), l.seen_output_tokens_per_minute);
  l.seen_at := p_now;
  l := llmreq_refill(l, p_now);
  l.request_level := llmreq_lowered(l.request_level, p_rate -> 'requests');
  l.token_level := llmreq_lowered(l.token_level, p_rate -> 'tokens');
  l.input_level := llmreq_lowered(l.input_level, p_rate -> 'input-tokens');
  l.output_level := llmreq_lowered(l.output_level, p_rate -> 'output-tokens');
  RETURN l;
END
$$;

-- llmreq_seen_limit({"limit", "remaining"}) → the limit; NULL where it is none that could be meant
CREATE OR REPLACE FUNCTION llmreq_seen_limit(p_seen json) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT x.n FROM (SELECT (p_seen ->> 'limit')::numeric AS n) x WHERE x.n BETWEEN 1 AND 1e12
$$;

-- llmreq_lowered(level, {"limit", "remaining"}) → level
-- Only when less than a twentieth of the limit remains: the figure is as old as the answer, and the calls since are in our level.
CREATE OR REPLACE FUNCTION llmreq_lowered(p_level double precision, p_seen json) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE WHEN llmreq_seen_limit(p_seen) IS NOT NULL AND (p_seen ->> 'remaining')::float8 < (p_seen ->> 'limit')::float8 / 20
              THEN least(p_level, greatest(0, (p_seen ->> 'remaining')::float8)) ELSE p_level END
$$;
