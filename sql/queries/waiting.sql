SELECT lane, reason, message, requests, due, until, oldest_seconds FROM llmreq_waiting ORDER BY lane
