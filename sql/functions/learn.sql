-- llmreq_learn() → rows written
-- How long the answers of each lane, agent and task type have been, over today and yesterday, from the daily rollup. Off the hot
-- path: any worker runs it twice a minute.
CREATE OR REPLACE FUNCTION llmreq_learn() RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  v_count integer;
BEGIN
  INSERT INTO llm_output_means AS m (lane, agent_id, task_type, answers, mean_tokens, updated_at)
  SELECT u.provider || '/' || u.model, u.agent_id, u.task_type, sum(u.counted_calls), sum(u.output_tokens)::float8 / sum(u.counted_calls),
         llmreq_now()
  FROM llm_usage_daily u
  WHERE u.day >= (llmreq_now() AT TIME ZONE 'UTC')::date - 1
  GROUP BY 1, 2, 3 HAVING sum(u.counted_calls) > 0
  ORDER BY 1, 2, 3
  ON CONFLICT (lane, agent_id, task_type) DO UPDATE
  SET answers = EXCLUDED.answers, mean_tokens = EXCLUDED.mean_tokens, updated_at = EXCLUDED.updated_at
  WHERE (m.answers, m.mean_tokens) IS DISTINCT FROM (EXCLUDED.answers, EXCLUDED.mean_tokens);
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END
$$;

-- llmreq_mean_output(lane, agent, task_type) → tokens its answers have on average; the lane's own where that is not known yet
CREATE OR REPLACE FUNCTION llmreq_mean_output(p_lane text, p_agent text, p_task_type text) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_mean double precision;
BEGIN
  SELECT m.mean_tokens INTO v_mean FROM llm_output_means m
  WHERE m.lane = p_lane AND m.agent_id = p_agent AND m.task_type = p_task_type;
  IF v_mean IS NULL THEN
    SELECT l.mean_output_tokens INTO v_mean FROM llm_lanes l WHERE l.lane = p_lane;
  END IF;
  RETURN ceil(v_mean);
END
$$;
