WITH failed AS MATERIALIZED (
  SELECT r.id FROM llm_requests r
  WHERE r.status = 'failed' AND r.id > %(after)s
    AND (%(error_code)s::text IS NULL OR r.error_code = %(error_code)s)
    AND (%(tenant_id)s::text IS NULL OR r.tenant_id = %(tenant_id)s)
    AND llmreq_message_problem(r.messages, r.content) IS NULL
  ORDER BY r.id
  LIMIT %(limit)s
)
SELECT f.id, llmreq_retry(f.id) AS status FROM failed f ORDER BY f.id
