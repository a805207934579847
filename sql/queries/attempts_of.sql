SELECT claim_seq, attempt, outcome, accepted, lane, provider_model, http_status, finish_reason, claimed_at, settled_at, latency_ms,
       input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens,
       cost_usd, cost_basis, worker_id, provider_request_id, error_message, validation_errors, repairs
FROM llm_attempts
WHERE request_id = %(id)s
ORDER BY claim_seq, claimed_at
