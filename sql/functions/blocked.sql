-- llmreq_blocked(ids) → those of them that cannot be settled now
-- Requests whose row, lane, provider's lane, budgets, document with its waiting pages, or row of the daily rollup somebody holds now. It waits for nothing and changes nothing:
-- asked when llmreq_finish met a lock that was not given in time, so that the others can be settled without them.
CREATE OR REPLACE FUNCTION llmreq_blocked(p_ids uuid[]) RETURNS uuid[]
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
  v_requests uuid[] := ARRAY(SELECT r.id FROM llm_requests r WHERE r.id = ANY (p_ids) FOR NO KEY UPDATE SKIP LOCKED);
  v_lanes text[];
  v_held_lanes text[];
  v_held_budgets integer[];
  v_parents uuid[];
  v_free_parents uuid[];
  v_held_usage tid[];
BEGIN
  v_lanes := ARRAY(
    SELECT DISTINCT x.lane FROM llm_requests r CROSS JOIN LATERAL (VALUES (r.lane), (llmreq_provider_lane(r.lane))) AS x (lane)
    WHERE r.id = ANY (p_ids));
  v_held_lanes := ARRAY(
    SELECT l.lane FROM llm_lanes l WHERE l.lane = ANY (v_lanes)
    EXCEPT
    SELECT x.lane FROM (SELECT l.lane FROM llm_lanes l WHERE l.lane = ANY (v_lanes) FOR NO KEY UPDATE SKIP LOCKED) x);
  v_held_budgets := ARRAY(
    SELECT x.id FROM (
      SELECT DISTINCT b.id FROM llm_requests r
      CROSS JOIN LATERAL llmreq_scopes(r.tenant_id, r.agent_id, r.task_type, r.lane, r.run_id) s
      JOIN llm_budgets b ON b.scope = s.scope AND b.subject = s.subject
      WHERE r.id = ANY (p_ids)) x);
  v_held_budgets := ARRAY(
    SELECT x FROM unnest(v_held_budgets) x
    EXCEPT
    SELECT y.id FROM (SELECT b.id FROM llm_budgets b WHERE b.id = ANY (v_held_budgets) FOR NO KEY UPDATE SKIP LOCKED) y);
  v_parents := ARRAY(
    SELECT DISTINCT coalesce(r.parent_id, r.id) FROM llm_requests r WHERE r.id = ANY (p_ids) AND (r.parent_id IS NOT NULL OR r.pages IS NOT NULL));
  v_free_parents := ARRAY(
    SELECT r.id FROM llm_requests r WHERE r.id = ANY (v_parents) FOR NO KEY UPDATE SKIP LOCKED);
  v_free_parents := ARRAY(
    SELECT p FROM unnest(v_free_parents) p
    EXCEPT
    SELECT w.parent_id FROM llm_requests w WHERE w.parent_id = ANY (v_parents) AND w.status = 'waiting'
      AND w.id <> ALL (ARRAY(SELECT x.id FROM llm_requests x WHERE x.parent_id = ANY (v_parents) AND x.status = 'waiting'
                             FOR NO KEY UPDATE SKIP LOCKED)));
  v_held_usage := ARRAY(SELECT llmreq_usage_rows(p_ids));
  v_held_usage := ARRAY(
    SELECT u FROM unnest(v_held_usage) u
    EXCEPT
    SELECT y.ctid FROM (SELECT u.ctid FROM llm_usage_daily u WHERE u.ctid = ANY (v_held_usage) FOR NO KEY UPDATE SKIP LOCKED) y);
  RETURN ARRAY(
    SELECT r.id FROM llm_requests r
    WHERE r.id = ANY (p_ids)
      AND (r.id <> ALL (v_requests) OR r.lane = ANY (v_held_lanes) OR llmreq_provider_lane(r.lane) = ANY (v_held_lanes)
           OR coalesce(r.parent_id, r.id) = ANY (v_parents) AND coalesce(r.parent_id, r.id) <> ALL (v_free_parents)
           OR v_held_usage <> '{}' AND EXISTS (SELECT FROM llmreq_usage_rows(ARRAY[r.id]) u WHERE u = ANY (v_held_usage))
           OR v_held_budgets <> '{}' AND EXISTS (
                SELECT FROM llmreq_scopes(r.tenant_id, r.agent_id, r.task_type, r.lane, r.run_id) s
                JOIN llm_budgets b ON b.scope = s.scope AND b.subject = s.subject WHERE b.id = ANY (v_held_budgets))));
END
$$;

-- llmreq_usage_rows(ids) → where the daily rollup has the calls of these requests
CREATE OR REPLACE FUNCTION llmreq_usage_rows(p_ids uuid[]) RETURNS SETOF tid
LANGUAGE sql STABLE
AS $$
  SELECT DISTINCT u.ctid FROM llm_requests r
  JOIN llm_usage_daily u ON u.day = (r.claimed_at AT TIME ZONE 'UTC')::date AND u.tenant_id = r.tenant_id AND u.agent_id = r.agent_id
    AND u.task_type = r.task_type AND u.kind = r.kind AND u.provider || '/' || u.model = r.lane
    AND u.run_id = coalesce(r.run_id, '00000000-0000-0000-0000-000000000000')
  WHERE r.id = ANY (p_ids)
$$;
