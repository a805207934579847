-- llmreq_level(level, per_minute, margin, burst_seconds, seconds) → level
-- A bucket's level after so many seconds of continuous refill; fractions are kept, debt too. NULL where there is no limit.
-- It holds a few seconds' worth at most, but always one request, and begins with one second's.
CREATE OR REPLACE FUNCTION llmreq_level(
  p_level double precision, p_per_minute numeric, p_margin numeric, p_burst_seconds numeric, p_seconds double precision
) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  v_rate double precision := p_per_minute * p_margin / 60;
BEGIN
  RETURN least(greatest(1, v_rate * p_burst_seconds), coalesce(p_level + v_rate * p_seconds, least(v_rate, v_rate * p_burst_seconds)));
END
$$;

-- llmreq_rate(lane row, set, seen, now) → the limit in force; NULL: none
-- An operator's word wins over what the provider's headers name. What they name is forgotten when no answer has said it for ten minutes.
CREATE OR REPLACE FUNCTION llmreq_rate(l llm_lanes, p_set numeric, p_seen numeric, p_now timestamptz) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(p_set, CASE WHEN p_seen IS NOT NULL AND (l).seen_at > p_now - interval '10 min' THEN p_seen END);

-- llmreq_refill(lane row, now) → lane row
-- Fills the lane's buckets up to now, by the database's clock. A clock that went back refills nothing.
CREATE OR REPLACE FUNCTION llmreq_refill(l llm_lanes, p_now timestamptz) RETURNS llm_lanes
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  v_seconds double precision := greatest(0, extract(epoch FROM p_now - coalesce(l.refilled_at, p_now)));
  v_rate numeric;
BEGIN
  v_rate := llmreq_rate(l, l.requests_per_minute, l.seen_requests_per_minute, p_now);
  l.request_level := CASE WHEN v_rate IS NOT NULL THEN
    llmreq_level(l.request_level, v_rate, l.safety_margin, l.burst_seconds, v_seconds) END;
  v_rate := llmreq_rate(l, l.tokens_per_minute, l.seen_tokens_per_minute, p_now);
  l.token_level := CASE WHEN v_rate IS NOT NULL THEN
    llmreq_level(l.token_level, v_rate, l.safety_margin, l.burst_seconds, v_seconds) END;
  v_rate := llmreq_rate(l, l.input_tokens_per_minute, l.seen_input_tokens_per_minute, p_now);
  l.input_level := CASE WHEN v_rate IS NOT NULL THEN
    llmreq_level(l.input_level, v_rate, l.safety_margin, l.burst_seconds, v_seconds) END;
  v_rate := llmreq_rate(l, l.output_tokens_per_minute, l.seen_output_tokens_per_minute, p_now);
  l.output_level := CASE WHEN v_rate IS NOT NULL THEN
    llmreq_level(l.output_level, v_rate, l.safety_margin, l.burst_seconds, v_seconds) END;
  l.refilled_at := greatest(p_now, l.refilled_at);
  RETURN l;
END
$$;

-- llmreq_room(lane row, now) → requests that may start
-- 0 when it is paused, blocked or full; with a broken circuit one probe at a time, fleet-wide. After a 429 that did not say for how
-- long, as many as were answered since (slow start).
CREATE OR REPLACE FUNCTION llmreq_room(l llm_lanes, p_now timestamptz) RETURNS integer
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
  IF l.paused OR l.blocked_until > p_now OR least(l.token_level, l.input_level, l.output_level) <= 0 THEN
    RETURN 0;
  ELSIF l.breaker_opened > 0 AND l.in_flight > 0 THEN
    RETURN 0;
  END IF;
  RETURN greatest(0, least(
    floor(l.request_level), l.max_in_flight - l.in_flight, l.in_flight_window - l.in_flight,
    CASE WHEN l.breaker_opened > 0 THEN 1 ELSE 1000000 END));
END
$$;

-- llmreq_opens_at(lane row, now) → when a lane that has no room now is worth a visit; NULL: at any moment
CREATE OR REPLACE FUNCTION llmreq_opens_at(l llm_lanes, p_now timestamptz) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  v_seconds double precision;
BEGIN
  IF l.paused THEN
    RETURN '9999-01-01 00:00:00+00';
  ELSIF l.blocked_until > p_now THEN
    RETURN l.blocked_until;
  END IF;
  v_seconds := greatest(
    (1 - l.request_level) * 60 / nullif(llmreq_rate(l, l.requests_per_minute, l.seen_requests_per_minute, p_now), 0),
    -l.token_level * 60 / nullif(llmreq_rate(l, l.tokens_per_minute, l.seen_tokens_per_minute, p_now), 0),
    -l.input_level * 60 / nullif(llmreq_rate(l, l.input_tokens_per_minute, l.seen_input_tokens_per_minute, p_now), 0),
    -l.output_level * 60 / nullif(llmreq_rate(l, l.output_tokens_per_minute, l.seen_output_tokens_per_minute, p_now), 0));
  RETURN CASE WHEN v_seconds > 0.2 THEN p_now + make_interval(secs => least(v_seconds, 60)) END;
END
$$;

-- llmreq_provider_lane(lane) → the row that holds the limits of all lanes of its provider: 'openai/*'
CREATE OR REPLACE FUNCTION llmreq_provider_lane(p_lane text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN split_part(p_lane, '/', 1) || '/*';

-- llmreq_counts_output_cap(lane row) → boolean
-- Whether the provider counts the output cap when it admits a call, and not the tokens that came. OpenAI does, by its own
-- documentation; for others say it in llm_lanes.counts_output_cap.
CREATE OR REPLACE FUNCTION llmreq_counts_output_cap(l llm_lanes) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce((l).counts_output_cap, (l).provider = 'openai');

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
