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

-- llmreq_refill(lane row, now) → lane row
-- Fills the lane's buckets up to now, by the database's clock. The lower of two limits counts: the operator's, and the one the
-- provider's headers name. A clock that went back refills nothing.
CREATE OR REPLACE FUNCTION llmreq_refill(l llm_lanes, p_now timestamptz) RETURNS llm_lanes
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  v_seconds double precision := greatest(0, extract(epoch FROM p_now - coalesce(l.refilled_at, p_now)));
  v_rate numeric;
BEGIN
  v_rate := least(l.requests_per_minute, l.seen_requests_per_minute);
  l.request_level := CASE WHEN v_rate IS NOT NULL THEN
    llmreq_level(l.request_level, v_rate, l.safety_margin, l.burst_seconds, v_seconds) END;
  v_rate := least(l.tokens_per_minute, l.seen_tokens_per_minute);
  l.token_level := CASE WHEN v_rate IS NOT NULL THEN
    llmreq_level(l.token_level, v_rate, l.safety_margin, l.burst_seconds, v_seconds) END;
  v_rate := least(l.input_tokens_per_minute, l.seen_input_tokens_per_minute);
  l.input_level := CASE WHEN v_rate IS NOT NULL THEN
    llmreq_level(l.input_level, v_rate, l.safety_margin, l.burst_seconds, v_seconds) END;
  v_rate := least(l.output_tokens_per_minute, l.seen_output_tokens_per_minute);
  l.output_level := CASE WHEN v_rate IS NOT NULL THEN
    llmreq_level(l.output_level, v_rate, l.safety_margin, l.burst_seconds, v_seconds) END;
  l.refilled_at := greatest(p_now, l.refilled_at);
  RETURN l;
END
$$;

-- llmreq_room(lane row, now) → requests that may start
-- 0 when it is paused, blocked or full; with a broken circuit one probe at a time, fleet-wide.
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
    floor(l.request_level), l.max_in_flight - l.in_flight, CASE WHEN l.breaker_opened > 0 THEN 1 ELSE 1000000 END));
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
