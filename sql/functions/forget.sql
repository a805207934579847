-- llmreq_forget_requests(before, limit, dry run) → deleted
-- Deletes up to `limit` requests that ended before that moment; open ones are never touched. A page goes with its document or after
-- it, not before. Small batches, each its own transaction, skip what is locked: no claim ever waits for this.
CREATE OR REPLACE FUNCTION llmreq_forget_requests(p_before timestamptz, p_limit integer DEFAULT 1000, p_dry_run boolean DEFAULT false)
RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
  v_count bigint;
BEGIN
  IF p_dry_run THEN
    RETURN (SELECT count(*) FROM llmreq_forgettable(p_before, NULL));
  END IF;
  DELETE FROM llm_requests q
  WHERE q.id = ANY (ARRAY(
    SELECT r.id FROM llm_requests r WHERE r.id = ANY (ARRAY(SELECT f FROM llmreq_forgettable(p_before, p_limit) f))
    FOR UPDATE SKIP LOCKED));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END
$$;

-- llmreq_forgettable(before, limit) → ids of ended requests that nothing open needs, oldest first; by the two indexes of ended rows
CREATE OR REPLACE FUNCTION llmreq_forgettable(p_before timestamptz, p_limit integer) RETURNS SETOF uuid
LANGUAGE sql STABLE
AS $$
  SELECT x.id
  FROM (
    (SELECT r.id, r.parent_id, r.completed_at FROM llm_requests r
     WHERE r.status IN ('completed', 'cancelled') AND r.completed_at < p_before ORDER BY r.completed_at)
    UNION ALL
    (SELECT r.id, r.parent_id, r.completed_at FROM llm_requests r
     WHERE r.status = 'failed' AND r.completed_at < p_before ORDER BY r.completed_at)
  ) x
  WHERE x.parent_id IS NULL OR NOT EXISTS (
    SELECT FROM llm_requests p WHERE p.id = x.parent_id AND (p.completed_at IS NULL OR p.completed_at >= p_before))
  LIMIT p_limit
$$;

-- llmreq_drop_partitions(before, dry run) → names of the ledger's partitions that were, or would be, dropped
-- Whole days of the ledger that lie before that UTC day. The daily rollup keeps their sums. A table that is busy for two seconds
-- is left for the next turn.
CREATE OR REPLACE FUNCTION llmreq_drop_partitions(p_before date, p_dry_run boolean DEFAULT false) RETURNS SETOF text
LANGUAGE plpgsql
AS $$
DECLARE
  v_name text;
BEGIN
  FOR v_name IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'llm_attempts'::regclass AND c.relname ~ '^llm_attempts_\d{8}$'
      AND to_date(right(c.relname, 8), 'YYYYMMDD') < p_before
    ORDER BY c.relname
  LOOP
    IF NOT p_dry_run THEN
      BEGIN
        PERFORM set_config('lock_timeout', '2s', true);
        EXECUTE format('DROP TABLE %I', v_name);
        INSERT INTO llmreq_meta AS m (key, value) VALUES ('ledger_from', to_char(to_date(right(v_name, 8), 'YYYYMMDD') + 1, 'YYYY-MM-DD'))
        ON CONFLICT (key) DO UPDATE SET value = greatest(m.value, EXCLUDED.value), updated_at = llmreq_now();
      EXCEPTION WHEN lock_not_available THEN
        CONTINUE;
      END;
    END IF;
    RETURN NEXT v_name;
  END LOOP;
  IF NOT p_dry_run THEN
    -- What had no partition of its day: seldom, and never much.
    DELETE FROM llm_attempts_default a WHERE a.claimed_at < p_before::timestamp AT TIME ZONE 'UTC';
    IF FOUND THEN
      INSERT INTO llmreq_meta AS m (key, value) VALUES ('ledger_from', to_char(p_before, 'YYYY-MM-DD'))
      ON CONFLICT (key) DO UPDATE SET value = greatest(m.value, EXCLUDED.value), updated_at = llmreq_now();
    END IF;
  END IF;
END
$$;
