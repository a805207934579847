SELECT calls, was_usd, is_usd, priced FROM llmreq_reprice(%(lane)s, %(day)s, %(dry_run)s)
