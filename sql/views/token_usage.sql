-- Tokens by UTC day, tenant, model and task type. The four input buckets are disjoint: prompt_tokens is their sum.
-- reasoning_tokens is a part of output_tokens. A call that was lost has no counts: lost_calls says how many there are.
CREATE OR REPLACE VIEW llmreq_token_usage AS
SELECT (a.claimed_at AT TIME ZONE 'UTC')::date AS day, a.tenant_id, a.provider, a.model, a.task_type, count(*) AS calls,
       coalesce(sum(a.input_tokens), 0) AS input_tokens,
       coalesce(sum(a.cache_read_tokens), 0) AS cache_read_tokens,
       coalesce(sum(a.cache_write_5m_tokens), 0) AS cache_write_5m_tokens,
       coalesce(sum(a.cache_write_1h_tokens), 0) AS cache_write_1h_tokens,
       coalesce(sum(a.input_tokens), 0) + coalesce(sum(a.cache_read_tokens), 0) + coalesce(sum(a.cache_write_5m_tokens), 0)
         + coalesce(sum(a.cache_write_1h_tokens), 0) AS prompt_tokens,
       coalesce(sum(a.output_tokens), 0) AS output_tokens,
       coalesce(sum(a.reasoning_tokens), 0) AS reasoning_tokens,
       count(*) FILTER (WHERE a.cost_basis = 'upper_bound') AS lost_calls
FROM llm_attempts a
GROUP BY 1, 2, 3, 4, 5;
