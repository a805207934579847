INSERT INTO llm_routes (task_type, complexity, quality, candidates, note)
VALUES (%(task_type)s, %(complexity)s, %(quality)s, %(candidates)s, %(note)s)
ON CONFLICT (coalesce(task_type, ''), coalesce(complexity, ''), coalesce(quality, '')) DO UPDATE
SET candidates = EXCLUDED.candidates, note = coalesce(EXCLUDED.note, llm_routes.note), enabled = true
RETURNING id
