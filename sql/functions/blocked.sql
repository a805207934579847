-- llmreq_blocked(ids) → those of them that cannot be settled now
-- Requests whose row, lane, provider's lane, budgets or document somebody holds at this moment. It waits for nothing and changes nothing:
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
  v_free_parents := ARRAY(SELECT r.id FROM llm_requests r WHERE r.id = ANY (v_parents) FOR NO KEY UPDATE SKIP LOCKED);
  RETURN ARRAY(
    SELECT r.id FROM llm_requests r
    WHERE r.id = ANY (p_ids)
      AND (r.id <> ALL (v_requests) OR r.lane = ANY (v_held_lanes) OR llmreq_provider_lane(r.lane) = ANY (v_held_lanes)
           OR r.parent_id = ANY (v_parents) AND r.parent_id <> ALL (v_free_parents)
           OR v_held_budgets <> '{}' AND EXISTS (
                SELECT FROM llmreq_scopes(r.tenant_id, r.agent_id, r.task_type, r.lane, r.run_id) s
                JOIN llm_budgets b ON b.scope = s.scope AND b.subject = s.subject WHERE b.id = ANY (v_held_budgets))));
END
$$;
