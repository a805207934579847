SELECT llmreq_retry(%(id)s) AS status
