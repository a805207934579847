-- The fleet: every worker that is not yet rescued. healthy = its lease stands.
CREATE OR REPLACE VIEW llmreq_worker_health AS
SELECT w.id, w.name, w.version, w.state, w.state <> 'dead' AND w.lease_until > c.now AS healthy, w.providers, w.unusable,
       w.concurrency, coalesce(p.processing, 0) AS processing, w.started_at, w.heartbeat_at,
       CASE WHEN isfinite(w.heartbeat_at) THEN round(extract(epoch FROM c.now - w.heartbeat_at), 1) END AS heartbeat_age_seconds,
       w.lease_until
FROM (SELECT llmreq_now() AS now) c
CROSS JOIN llm_workers w
LEFT JOIN (SELECT r.worker_id, count(*) AS processing FROM llm_requests r WHERE r.status = 'processing' GROUP BY r.worker_id) p
  ON p.worker_id = w.id;
