SELECT key, value FROM llmreq_meta WHERE key = 'unpriced_usd_per_mtok' OR key LIKE 'warn\_%%' ORDER BY key
