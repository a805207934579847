SELECT s.pid, s.application_name, s.state, round(extract(epoch FROM clock_timestamp() - s.xact_start)) AS seconds
FROM pg_stat_activity s
WHERE s.backend_xmin IS NOT NULL AND s.pid <> pg_backend_pid() AND s.xact_start IS NOT NULL
  AND s.backend_type = 'client backend'
ORDER BY age(s.backend_xmin) DESC
LIMIT 1
