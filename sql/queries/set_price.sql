INSERT INTO llm_prices (provider, model, valid_from, min_prompt_tokens, input_usd_per_mtok, cache_read_usd_per_mtok,
                        cache_write_5m_usd_per_mtok, cache_write_1h_usd_per_mtok, output_usd_per_mtok, source)
VALUES (%(provider)s, %(model)s, coalesce(%(valid_from)s, llmreq_now()), %(min_prompt_tokens)s, %(input_usd)s, %(cache_read_usd)s,
        %(cache_write_5m_usd)s, %(cache_write_1h_usd)s, %(output_usd)s, %(source)s)
RETURNING id
