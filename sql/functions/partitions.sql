-- llmreq_ensure_partitions(days) → partitions made
-- Makes the ledger's daily partitions from yesterday to `days` ahead. Any number of workers may call it at once. A day that already
-- has rows in the default partition keeps them there: moving them would lock the ledger.
CREATE OR REPLACE FUNCTION llmreq_ensure_partitions(p_days integer DEFAULT 7) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_day date;
  v_name text;
  v_made integer := 0;
BEGIN
  FOR v_day IN SELECT (llmreq_now() AT TIME ZONE 'UTC')::date + n FROM generate_series(-1, p_days) n LOOP
    v_name := 'llm_attempts_' || to_char(v_day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
    BEGIN
      PERFORM set_config('lock_timeout', '2s', true);
      EXECUTE format(
        'CREATE TABLE %I PARTITION OF llm_attempts FOR VALUES FROM (%L) TO (%L)',
        v_name, v_day::timestamp AT TIME ZONE 'UTC', (v_day + 1)::timestamp AT TIME ZONE 'UTC');
      v_made := v_made + 1;
    EXCEPTION
      -- Another worker made it, the default partition has rows of that day, or the table was busy: the default takes them.
      WHEN duplicate_table OR check_violation OR lock_not_available OR unique_violation THEN NULL;
    END;
  END LOOP;
  RETURN v_made;
END
$$;
