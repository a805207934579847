SELECT lane, state, blocked_until, block_message, pending, in_flight, max_in_flight, priced, calls, failed
FROM llmreq_lane_health ORDER BY lane
