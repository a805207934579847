-- What was used in the last `days` UTC days, today included, by one name; from the rollup, so it answers at once.
SELECT CASE %(by)s WHEN 'model' THEN u.provider || '/' || u.model WHEN 'operation' THEN u.task_type WHEN 'agent' THEN u.agent_id
                   WHEN 'tenant' THEN u.tenant_id WHEN 'run' THEN coalesce(u.run_id::text, 'none') WHEN 'day' THEN u.day::text
                   ELSE 'all' END AS name,
       sum(u.calls)::bigint AS calls, sum(u.prompt_tokens)::bigint AS prompt_tokens, sum(u.input_tokens)::bigint AS input_tokens,
       sum(u.cache_read_tokens)::bigint AS cache_read_tokens,
       sum(u.cache_write_5m_tokens + u.cache_write_1h_tokens)::bigint AS cache_write_tokens,
       sum(u.output_tokens)::bigint AS output_tokens, sum(u.reasoning_tokens)::bigint AS reasoning_tokens,
       sum(u.total_tokens)::bigint AS total_tokens, sum(u.cost_usd) AS cost_usd,
       sum(u.failed_calls)::bigint AS failed_calls, sum(u.failed_usd) AS failed_usd,
       sum(u.lost_calls)::bigint AS lost_calls, sum(u.upper_bound_usd) AS upper_bound_usd,
       sum(u.unpriced_calls)::bigint AS unpriced_calls, sum(u.unpriced_tokens)::bigint AS unpriced_tokens,
       round(sum(u.estimate_error_tokens) / nullif(sum(u.estimated_tokens), 0), 4) AS estimate_error
FROM llmreq_usage_daily u
WHERE u.day > (llmreq_now() AT TIME ZONE 'UTC')::date - %(days)s::integer
GROUP BY 1
ORDER BY CASE WHEN %(by)s = 'day' THEN min(u.day) END, sum(u.cost_usd) DESC, sum(u.total_tokens) DESC, 1
