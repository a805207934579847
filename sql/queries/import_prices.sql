-- Adds versions of prices that differ from the version in force at their valid_from (NULL: now); nothing is ever edited.
-- Each given row comes back with its verdict: add, same, or edit (another version begins at the same moment: the caller refuses).
-- A partial list says nothing of the buckets it leaves NULL: alone they make no new version.
WITH given AS MATERIALIZED (
  SELECT g.provider, g.model, coalesce(g.valid_from::timestamptz, (SELECT llmreq_now())) AS valid_from, g.min_prompt_tokens,
         g.service_tier, g.batch, g.source, ARRAY[g.input, g.cache_read, g.cache_write_5m, g.cache_write_1h, g.output] AS dollars
  FROM unnest(%(provider)s::text[], %(model)s::text[], %(valid_from)s::text[], %(min_prompt_tokens)s::bigint[],
              %(service_tier)s::text[], %(batch)s::boolean[], %(source)s::text[], %(input_usd_per_mtok)s::numeric[],
              %(cache_read_usd_per_mtok)s::numeric[], %(cache_write_5m_usd_per_mtok)s::numeric[],
              %(cache_write_1h_usd_per_mtok)s::numeric[], %(output_usd_per_mtok)s::numeric[])
       AS g (provider, model, valid_from, min_prompt_tokens, service_tier, batch, source, input, cache_read, cache_write_5m,
             cache_write_1h, output)
),
-- The book's versions of these prices beside the given ones: a list may bring several versions of one price.
versions AS (
  SELECT p.id, p.provider, p.model, p.valid_from, p.min_prompt_tokens, p.service_tier, p.batch, p.source,
         ARRAY[p.input_usd_per_mtok, p.cache_read_usd_per_mtok, p.cache_write_5m_usd_per_mtok, p.cache_write_1h_usd_per_mtok,
               p.output_usd_per_mtok] AS dollars
  FROM llm_prices p
  WHERE (p.provider, p.model) IN (SELECT g.provider, g.model FROM given g)
  UNION ALL
  SELECT NULL, g.provider, g.model, g.valid_from, g.min_prompt_tokens, g.service_tier, g.batch, g.source, g.dollars FROM given g
),
beside AS (
  SELECT v.*, lag(v.dollars) OVER w AS before, lag(v.valid_from) OVER w AS since
  FROM versions v
  WINDOW w AS (PARTITION BY v.provider, v.model, v.min_prompt_tokens, v.service_tier, v.batch ORDER BY v.valid_from, v.id)
),
judged AS MATERIALIZED (
  SELECT b.*, CASE WHEN b.before IS NULL THEN 'add'
                   WHEN b.dollars = b.before THEN 'same'
                   WHEN %(partial)s AND NOT EXISTS (SELECT FROM unnest(b.dollars, b.before) AS u (said, known)
                                                    WHERE u.said IS NOT NULL AND u.said IS DISTINCT FROM u.known) THEN 'same'
                   WHEN b.valid_from = b.since THEN 'edit'
                   ELSE 'add' END AS verdict
  FROM beside b
  WHERE b.id IS NULL
),
added AS (
  INSERT INTO llm_prices (provider, model, valid_from, min_prompt_tokens, service_tier, batch, input_usd_per_mtok,
                          cache_read_usd_per_mtok, cache_write_5m_usd_per_mtok, cache_write_1h_usd_per_mtok, output_usd_per_mtok,
                          source)
  SELECT j.provider, j.model, j.valid_from, j.min_prompt_tokens, j.service_tier, j.batch, j.dollars[1], j.dollars[2],
         j.dollars[3], j.dollars[4], j.dollars[5], j.source
  FROM judged j
  WHERE j.verdict = 'add' AND NOT %(dry_run)s
)
SELECT j.verdict, j.provider, j.model, CASE WHEN isfinite(j.valid_from) THEN j.valid_from END AS valid_from, j.min_prompt_tokens,
       j.service_tier, j.batch, j.dollars[1] AS input_usd_per_mtok, j.dollars[2] AS cache_read_usd_per_mtok,
       j.dollars[3] AS cache_write_5m_usd_per_mtok, j.dollars[4] AS cache_write_1h_usd_per_mtok,
       j.dollars[5] AS output_usd_per_mtok, j.source, j.before
FROM judged j
ORDER BY j.provider, j.model, j.min_prompt_tokens, j.service_tier, j.batch, j.valid_from
