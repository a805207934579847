SELECT llmreq_cancel(%(id)s) AS status
