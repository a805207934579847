-- The last 60 minutes, minute by minute, quiet ones included: calls that ended, how they ended, their tokens and dollars.
-- cost_usd is NULL in a minute with an unpriced call. claimed_at picks the ledger's partitions: no call lasts above an hour.
CREATE OR REPLACE VIEW llmreq_throughput AS
WITH clock AS MATERIALIZED (
  SELECT date_trunc('minute', llmreq_now()) AS minute
), ended AS (
  SELECT date_trunc('minute', a.settled_at) AS minute, a.*
  FROM llm_attempts a
  WHERE a.cost_basis <> 'correction' AND a.claimed_at >= (SELECT c.minute - interval '2 hours' FROM clock c)
    AND a.settled_at >= (SELECT c.minute - interval '59 minutes' FROM clock c)
)
SELECT m.minute, count(e.request_id) AS calls,
       count(*) FILTER (WHERE e.outcome = 'completed' AND e.accepted) AS completed,
       count(*) FILTER (WHERE e.outcome <> 'completed') AS failed,
       coalesce(sum(e.input_tokens), 0) + coalesce(sum(e.cache_read_tokens), 0) + coalesce(sum(e.cache_write_5m_tokens), 0)
         + coalesce(sum(e.cache_write_1h_tokens), 0) AS prompt_tokens,
       coalesce(sum(e.output_tokens), 0) AS output_tokens,
       CASE WHEN count(e.request_id) = count(e.cost_usd) THEN coalesce(sum(e.cost_usd), 0) END AS cost_usd
FROM clock c
CROSS JOIN LATERAL generate_series(c.minute - interval '59 minutes', c.minute, interval '1 minute') AS m (minute)
LEFT JOIN ended e ON e.minute = m.minute
GROUP BY m.minute;
