-- Every claim that Postgres holds for this worker. One whose time was edited past what a date can be is not ours to call.
SELECT r.id, r.claim_seq, r.claimed_at, r.lane, r.tenant_id, (r.attempts + 1)::smallint, coalesce(r.output_cap, 4096),
       NOT r.unpriced, num_nonnulls(r.agent_ref, r.parent_id, r.pages_lane, r.brief) > 0
FROM llm_requests r WHERE r.worker_id = %(worker_id)s AND r.status = 'processing'
  AND r.claimed_at BETWEEN '0001-01-02 00:00:00+00' AND '9999-12-30 00:00:00+00'
