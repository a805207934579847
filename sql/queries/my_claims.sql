SELECT r.id, r.claim_seq, r.claimed_at, r.lane, r.tenant_id, (r.attempts + 1)::smallint, coalesce(r.output_cap, 4096),
       r.hold_usd IS NOT NULL
FROM llm_requests r WHERE r.worker_id = %(worker_id)s AND r.status = 'processing'
