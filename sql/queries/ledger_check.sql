SELECT check_name, subject, expected, actual FROM llmreq_ledger_check LIMIT %(limit)s
