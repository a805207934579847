-- Which database this is: an id that is made once, and that backups and standbys keep. No row when another session is just making it.
WITH made AS (
  INSERT INTO llmreq_meta (key, value) VALUES ('database_id', gen_random_uuid()::text)
  ON CONFLICT (key) DO NOTHING
  RETURNING value
)
SELECT value FROM made
UNION ALL
SELECT m.value FROM llmreq_meta m WHERE m.key = 'database_id'
LIMIT 1
