-- What models get wrong: every error of every answer of the last 24 hours, by agent, lane, field and rule. List positions are
-- folded (items[3].name counts as items[].name): a schema that is misread is misread everywhere.
CREATE OR REPLACE VIEW llmreq_validation_failures AS
SELECT a.tenant_id, a.agent_id, a.task_type, a.lane, e ->> 'type' AS type,
       regexp_replace(e ->> 'field', '\[\d+\]', '[]', 'g') AS field, e ->> 'rule' AS rule,
       count(*) AS errors, count(DISTINCT (a.request_id, a.claim_seq)) AS answers, max(a.settled_at) AS last_at,
       (array_agg(e ->> 'message' ORDER BY a.settled_at DESC))[1] AS last_message
FROM llm_attempts a
CROSS JOIN LATERAL jsonb_array_elements(a.validation_errors) AS e
WHERE a.claimed_at >= (SELECT llmreq_now() - interval '24 hours') AND jsonb_typeof(a.validation_errors) = 'array'
GROUP BY 1, 2, 3, 4, 5, 6, 7;
