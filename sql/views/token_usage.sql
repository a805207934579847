-- Tokens by UTC day, tenant, model and task type. The four input buckets are disjoint: prompt_tokens is their sum.
-- reasoning_tokens is a part of output_tokens. A call that was lost has no counts: lost_calls says how many there are.
-- From the daily rollup: it answers in milliseconds and outlives the ledger.
CREATE OR REPLACE VIEW llmreq_token_usage AS
SELECT u.day, u.tenant_id, u.provider, u.model, u.task_type, sum(u.calls)::bigint AS calls,
       sum(u.input_tokens) AS input_tokens,
       sum(u.cache_read_tokens) AS cache_read_tokens,
       sum(u.cache_write_5m_tokens) AS cache_write_5m_tokens,
       sum(u.cache_write_1h_tokens) AS cache_write_1h_tokens,
       sum(u.input_tokens + u.cache_read_tokens + u.cache_write_5m_tokens + u.cache_write_1h_tokens) AS prompt_tokens,
       sum(u.output_tokens) AS output_tokens,
       sum(u.reasoning_tokens) AS reasoning_tokens,
       sum(u.lost_calls)::bigint AS lost_calls
FROM llm_usage_daily u
GROUP BY u.day, u.tenant_id, u.provider, u.model, u.task_type;
