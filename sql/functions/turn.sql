-- Turns of chores that need to be done once in a while by one worker of the fleet, each with a place where the next turn goes on.

-- llmreq_take_turn(name, period) → where the last turn ended ('' at the beginning); NULL: it is not time, or somebody has the turn
-- The turn is held until this transaction ends: nobody waits for it.
CREATE OR REPLACE FUNCTION llmreq_take_turn(p_name text, p_period interval) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
  v_key text := 'turn ' || p_name;
  v_at timestamptz := (SELECT m.updated_at FROM llmreq_meta m WHERE m.key = v_key);
  v_now timestamptz := llmreq_now();
  v_place text;
BEGIN
  IF v_at IS NULL THEN
    INSERT INTO llmreq_meta (key, value, updated_at) VALUES (v_key, '', 'epoch') ON CONFLICT DO NOTHING;
  ELSIF v_at > v_now - p_period AND v_at <= v_now THEN
    RETURN NULL;
  END IF;
  SELECT m.value INTO v_place FROM llmreq_meta m
  WHERE m.key = v_key AND (m.updated_at <= v_now - p_period OR m.updated_at > v_now) FOR UPDATE SKIP LOCKED;
  RETURN v_place;
END
$$;

-- llmreq_end_turn(name, place)
CREATE OR REPLACE FUNCTION llmreq_end_turn(p_name text, p_place text) RETURNS void
LANGUAGE sql
AS $$
  UPDATE llmreq_meta m SET value = p_place, updated_at = llmreq_now() WHERE m.key = 'turn ' || p_name
$$;
