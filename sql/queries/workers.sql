SELECT id, name, version, state, healthy, providers, unusable, concurrency, processing, started_at, heartbeat_age_seconds,
       count(*) OVER () AS total
FROM llmreq_worker_health
ORDER BY healthy DESC, processing DESC, id LIMIT %(limit)s
