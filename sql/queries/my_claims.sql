SELECT r.id, r.claim_seq, r.claimed_at, r.lane, r.tenant_id, (r.attempts + 1)::smallint, coalesce(r.output_cap, 4096),
       NOT r.unpriced, num_nonnulls(r.agent_ref, r.parent_id, r.pages_lane, r.brief) > 0
FROM llm_requests r WHERE r.worker_id = %(worker_id)s AND r.status = 'processing'
