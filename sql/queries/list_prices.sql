-- The price in force of every model and threshold; with "all" also the versions before and after it.
SELECT p.id, p.provider, p.model, p.min_prompt_tokens, p.service_tier, p.batch,
       CASE WHEN p.valid_from > '-infinity' THEN p.valid_from END AS valid_from,
       p.input_usd_per_mtok, p.cache_read_usd_per_mtok, p.cache_write_5m_usd_per_mtok, p.cache_write_1h_usd_per_mtok,
       p.output_usd_per_mtok, p.source
FROM llm_prices p
WHERE (%(provider)s::text IS NULL OR p.provider = %(provider)s)
  AND (%(model)s::text IS NULL OR p.model = %(model)s)
  AND (%(all)s OR p.id = (
    SELECT q.id FROM llm_prices q
    WHERE (q.provider, q.model, q.min_prompt_tokens, q.service_tier, q.batch)
          = (p.provider, p.model, p.min_prompt_tokens, p.service_tier, p.batch)
      AND q.valid_from <= (SELECT llmreq_now())
    ORDER BY q.valid_from DESC LIMIT 1))
ORDER BY p.provider, p.model, p.min_prompt_tokens, p.service_tier, p.batch, p.valid_from
