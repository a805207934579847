SELECT r.id, r.task_type, r.complexity, r.quality, r.candidates, r.enabled, r.note,
       ARRAY(SELECT c FROM unnest(r.candidates) c WHERE llmreq_served(c)) AS served
FROM llm_routes r
ORDER BY r.task_type NULLS FIRST, r.quality NULLS FIRST, r.complexity NULLS FIRST
