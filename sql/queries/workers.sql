SELECT id, name, version, state, healthy, providers, unusable, concurrency, processing, started_at, heartbeat_age_seconds
FROM llmreq_worker_health ORDER BY id
