-- What was used and what it cost, by UTC day, tenant, agent, task type, kind, model and run: the rollup that outlives retention.
-- cost_usd is what is known; unpriced_calls cost beyond it nobody knows what. failed_usd and upper_bound_usd are parts of cost_usd.
-- estimate_error_tokens is how far the estimates before the calls were off, of estimated_tokens; a call whose kind had never been
-- answered before had no estimate.
CREATE OR REPLACE VIEW llmreq_usage_daily AS
SELECT u.day, u.tenant_id, u.agent_id, u.task_type, u.kind, u.provider, u.model,
       nullif(u.run_id, '00000000-0000-0000-0000-000000000000') AS run_id, u.calls, u.failed_calls, u.lost_calls, u.unpriced_calls,
       u.input_tokens, u.cache_read_tokens, u.cache_write_5m_tokens, u.cache_write_1h_tokens,
       u.input_tokens + u.cache_read_tokens + u.cache_write_5m_tokens + u.cache_write_1h_tokens AS prompt_tokens, u.output_tokens,
       u.reasoning_tokens,
       u.input_tokens + u.cache_read_tokens + u.cache_write_5m_tokens + u.cache_write_1h_tokens + u.output_tokens AS total_tokens,
       u.unpriced_tokens, u.estimated_tokens, u.estimate_error_tokens, u.counted_calls, u.cost_usd, u.failed_usd, u.upper_bound_usd
FROM llm_usage_daily u;
