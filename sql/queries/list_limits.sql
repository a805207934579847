-- Lanes with their limits and their levels as they are now. Where there are more than `limit`, those with a limit or a pause of their
-- own stay, then those in use. total counts them all.
WITH chosen AS MATERIALIZED (
  SELECT x.lane FROM llm_lanes x
  ORDER BY x.paused OR num_nonnulls(x.requests_per_minute, x.tokens_per_minute, x.input_tokens_per_minute, x.output_tokens_per_minute,
                                    x.max_in_flight) > 0 DESC, x.in_flight DESC, x.lane
  LIMIT %(limit)s
)
SELECT l.lane, l.paused, l.in_flight, l.max_in_flight, l.requests_per_minute, l.tokens_per_minute, l.input_tokens_per_minute,
       l.output_tokens_per_minute, l.safety_margin, l.burst_seconds, llmreq_counts_output_cap(l) AS counts_output_cap,
       coalesce(l.counts_cache_reads, l.provider <> 'anthropic') AS counts_cache_reads,
       l.seen_requests_per_minute, l.seen_tokens_per_minute, l.seen_input_tokens_per_minute, l.seen_output_tokens_per_minute,
       round(now.request_level::numeric, 1) AS request_level, round(now.token_level::numeric) AS token_level,
       round(now.input_level::numeric) AS input_level, round(now.output_level::numeric) AS output_level,
       CASE WHEN l.blocked_until > llmreq_now() THEN l.blocked_until END AS blocked_until, l.block_reason, l.block_message,
       (SELECT count(*) FROM llm_lanes) AS total
FROM chosen c
JOIN llm_lanes l ON l.lane = c.lane
CROSS JOIN LATERAL (
  SELECT (x).request_level, (x).token_level, (x).input_level, (x).output_level FROM (SELECT llmreq_refill(l, llmreq_now()) AS x) y) now
ORDER BY l.lane
