-- llmreq_tidy() → rows changed
-- Forgets what only memory was: shares of tenants that are no longer ahead, marks that ended long ago. And counts the calls in
-- flight anew for limits of whole providers, which may have been set while calls were under way.
CREATE OR REPLACE FUNCTION llmreq_tidy() RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_lane text;
  v_changed integer;
  v_total integer := 0;
BEGIN
  DELETE FROM llm_shares s USING llm_lanes l WHERE l.lane = s.lane AND s.virtual_time <= l.virtual_time;
  GET DIAGNOSTICS v_changed = ROW_COUNT;
  v_total := v_total + v_changed;
  DELETE FROM llm_marks m WHERE m.moved_at < llmreq_now() - interval '1 min';
  GET DIAGNOSTICS v_changed = ROW_COUNT;
  v_total := v_total + v_changed;
  -- Locked first, counted after: no claim of that provider can pass in between.
  FOR v_lane IN SELECT l.lane FROM llm_lanes l WHERE l.model = '*' AND l.provider <> '*' ORDER BY l.lane FOR NO KEY UPDATE LOOP
    UPDATE llm_lanes l SET in_flight = n.running
    FROM (
      SELECT count(*)::integer AS running FROM llm_requests r
      WHERE r.status = 'processing' AND llmreq_provider_lane(r.lane) = v_lane) n
    WHERE l.lane = v_lane AND l.in_flight <> n.running;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    v_total := v_total + v_changed;
  END LOOP;
  RETURN v_total;
END
$$;
