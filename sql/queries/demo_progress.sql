SELECT status, count(*) AS n FROM llm_requests WHERE run_id = %(run_id)s GROUP BY status
