-- llmreq_now() → timestamptz
-- The database's clock (invariant 6). A test may set it for its own session or database:
--   SET llmreq.now = '2026-01-01 12:00:00+00'        a clock that stands still
--   SET llmreq.clock_offset = '1 hour'               a clock that runs ahead
-- clock_timestamp(), not now(): a lease or a back-off that began inside a long transaction must not begin in its past.
CREATE OR REPLACE FUNCTION llmreq_now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
  SELECT coalesce(
    nullif(current_setting('llmreq.now', true), '')::timestamptz,
    clock_timestamp() + coalesce(nullif(current_setting('llmreq.clock_offset', true), '')::interval, interval '0')
  )
$$;
