INSERT INTO llm_requests ({columns})
VALUES ({values})
ON CONFLICT (tenant_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
RETURNING id
