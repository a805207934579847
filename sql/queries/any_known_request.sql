-- One row when at least one of these requests is in this database.
SELECT r.id FROM llm_requests r WHERE r.id = ANY (%(ids)b::uuid[]) LIMIT 1
