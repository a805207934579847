SELECT * FROM llm_requests
WHERE (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)
  AND (%(task_type)s::text IS NULL OR task_type = %(task_type)s)
  AND (%(pages)s OR parent_id IS NULL)
  AND (%(before)s::uuid IS NULL OR id < %(before)s)
ORDER BY id DESC
LIMIT %(limit)s
