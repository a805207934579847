-- The routes a new database begins with: rows like any other, to be changed with `llmreq routes` or plain SQL. A candidate is skipped
-- while no running worker can call it, so one set of keys is enough; local/rules comes last because it needs none.
-- Only an empty table is seeded: a route that an operator deleted stays deleted.
INSERT INTO llm_routes (task_type, complexity, quality, candidates, note)
SELECT * FROM (VALUES
  (NULL, NULL, NULL, ARRAY['openai/gpt-6-luna', 'anthropic/claude-haiku-5-5', 'local/rules'], 'default: small and cheap'),
  (NULL, 'complex', NULL, ARRAY['openai/gpt-6.1-sol', 'anthropic/claude-sonnet-5-5'], 'complex work'),
  (NULL, NULL, 'basic', ARRAY['local/rules', 'openai/gpt-6-luna', 'anthropic/claude-haiku-5-5'], 'free tier first'),
  (NULL, NULL, 'good', ARRAY['openai/gpt-6-luna', 'anthropic/claude-haiku-5-5'], 'quality good'),
  (NULL, NULL, 'premium', ARRAY['openai/gpt-6.1-sol', 'anthropic/claude-sonnet-5-5'], 'quality premium'),
  ('chunking', NULL, NULL, ARRAY['local/rules'], 'rules do this for nothing'),
  ('language', NULL, NULL, ARRAY['local/rules'], 'rules do this for nothing'),
  ('keywords', NULL, NULL, ARRAY['local/rules'], 'rules do this for nothing'),
  ('tagging', NULL, NULL, ARRAY['local/rules'], 'rules do this for nothing')
) AS seed (task_type, complexity, quality, candidates, note)
WHERE NOT EXISTS (SELECT FROM llm_routes);
