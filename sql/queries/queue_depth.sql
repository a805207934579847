SELECT lane, status, requests, oldest_seconds FROM llmreq_queue_depth ORDER BY lane, status
