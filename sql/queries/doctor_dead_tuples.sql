SELECT s.relname, s.n_live_tup AS live, s.n_dead_tup AS dead, s.last_autovacuum
FROM pg_stat_user_tables s
WHERE s.relid IN ('llm_requests'::regclass, 'llm_lanes'::regclass, 'llm_workers'::regclass)
ORDER BY s.n_dead_tup DESC
