-- llmreq_retry(id) → status
-- A failed or cancelled request begins again, with all its attempts before it; what it has cost stays in its sums.
-- A routed request goes back to its route. Anything else is unchanged: retrying twice is retrying once. NULL: no such request.
CREATE OR REPLACE FUNCTION llmreq_retry(p_id uuid) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
  r llm_requests;
  v_placed llm_requests;
BEGIN
  SELECT * INTO r FROM llm_requests WHERE id = p_id FOR NO KEY UPDATE;
  IF r.status IS NULL OR r.status NOT IN ('failed', 'cancelled') THEN
    RETURN r.status;
  END IF;
  IF llmreq_message_problem(r.messages, r.content) IS NOT NULL THEN
    RAISE EXCEPTION 'request % cannot be sent: %', p_id, llmreq_message_problem(r.messages, r.content)
      USING ERRCODE = 'LQ002', HINT = 'Insert a corrected request instead.';
  END IF;
  r.status := 'pending';
  r.error_code := NULL;
  r.error_message := NULL;
  r.error_details := NULL;
  r.completed_at := NULL;
  IF r.route_id IS NOT NULL THEN
    r.provider := NULL;
    r.model := NULL;
  END IF;
  v_placed := llmreq_place(r);
  UPDATE llm_requests
  SET status = v_placed.status, attempts = 0, rescues = 0, claim_seq = claim_seq + 1, worker_id = NULL, wait_reason = NULL,
      error_code = v_placed.error_code, error_message = v_placed.error_message, error_details = v_placed.error_details,
      completed_at = v_placed.completed_at, provider = v_placed.provider, model = v_placed.model, lane = v_placed.lane,
      route_id = v_placed.route_id, route_position = v_placed.route_position, output_cap = llmreq_output_cap(params),
      response = NULL, parsed_response = NULL, validation_errors = NULL, repairs = NULL,
      expires_at = CASE WHEN expires_at > llmreq_now() THEN expires_at END,
      scheduled_at = llmreq_now(), updated_at = llmreq_now()
  WHERE id = p_id;
  RETURN v_placed.status;
END
$$;
