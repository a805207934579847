INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, cache_read_usd_per_mtok, cache_write_5m_usd_per_mtok,
                        cache_write_1h_usd_per_mtok, output_usd_per_mtok, source)
VALUES ('local', '*', '-infinity', 0, 0, 0, 0, 0, 'your own machine')
ON CONFLICT DO NOTHING;
