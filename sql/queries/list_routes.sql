-- served: the candidates that a live worker can call now, as llmreq_served() says of one.
WITH served AS MATERIALIZED (
  SELECT DISTINCT p.name FROM llm_workers w CROSS JOIN LATERAL unnest(w.providers) AS p (name)
  WHERE w.state = 'alive' AND w.lease_until > (SELECT llmreq_now()) AND p.name IS NOT NULL
)
SELECT r.id, r.task_type, r.complexity, r.quality, r.candidates, r.enabled, r.note,
       ARRAY(SELECT c FROM unnest(r.candidates) c WHERE c IN (SELECT s.name FROM served s) OR split_part(c, '/', 1) IN (SELECT s.name FROM served s))
         AS served
FROM llm_routes r
ORDER BY r.task_type NULLS FIRST, r.quality NULLS FIRST, r.complexity NULLS FIRST
