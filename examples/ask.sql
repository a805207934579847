-- A question in plain SQL. Some `llmreq worker` must run on the same database:
--
--   psql "$LLMREQ_DATABASE_URL" -f examples/ask.sql
--
-- An INSERT is the whole request. Without provider and model a route chooses them (`llmreq routes list`).

INSERT INTO llm_requests (task_type, content, response_schema)
VALUES (
  'classification',
  'The crane on quay 3 is stuck again. Third time this week!',
  '{"type": "object", "required": ["category", "urgency"], "additionalProperties": false,
    "properties": {"category": {"enum": ["fault", "question", "praise"]},
                   "urgency":  {"type": "integer", "minimum": 1, "maximum": 5}}}'
)
RETURNING id \gset

-- The answer comes into the same row, checked against the schema. llmreq_wait returns that row once it has ended; anywhere but in
-- psql a program rather looks again later, or does not wait at all.

SELECT status, lane, parsed_response, error_message, input_tokens, output_tokens, cost_usd
FROM llmreq_wait(:'id', interval '60 seconds') \gx
