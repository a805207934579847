-- llmreq_retry(id) → status
-- A failed or cancelled request begins again, with all its attempts before it; what it has cost stays in its sums.
-- A routed request goes back to its route. Of a document, also one that completed without some of its pages, only the pages that
-- failed are called again, and then it is merged anew; to retry a page is to retry its document. Anything else is unchanged: retrying
-- twice is retrying once. NULL: no such request.
CREATE OR REPLACE FUNCTION llmreq_retry(p_id uuid) RETURNS text
LANGUAGE plpgsql
SET lock_timeout = '5s' SET llmreq.engine = 'on'
AS $$
DECLARE
  r llm_requests;
  v_placed llm_requests;
BEGIN
  SELECT * INTO r FROM llm_requests WHERE id = p_id;
  IF r.parent_id IS NOT NULL THEN
    PERFORM llmreq_retry_pages(r.parent_id);
    RETURN (SELECT q.status FROM llm_requests q WHERE q.id = p_id);
  ELSIF r.pages IS NOT NULL THEN
    RETURN llmreq_retry_pages(p_id);
  END IF;
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
  v_placed := llmreq_prepare(llmreq_place(r));
  UPDATE llm_requests
  SET status = v_placed.status, attempts = 0, rescues = 0, claim_seq = claim_seq + 1, worker_id = NULL, wait_reason = NULL,
      error_code = v_placed.error_code, error_message = v_placed.error_message, error_details = v_placed.error_details,
      completed_at = v_placed.completed_at, provider = v_placed.provider, model = v_placed.model, lane = v_placed.lane, pages_lane = v_placed.pages_lane,
      route_id = v_placed.route_id, route_position = v_placed.route_position, output_cap = llmreq_output_cap(params),
      response = NULL, parsed_response = NULL, validation_errors = NULL, repairs = NULL,
      expires_at = CASE WHEN expires_at > llmreq_now() THEN expires_at END,
      scheduled_at = llmreq_now(), updated_at = llmreq_now()
  WHERE id = p_id;
  RETURN v_placed.status;
END
$$;

-- llmreq_retry_pages(document) → its status
CREATE OR REPLACE FUNCTION llmreq_retry_pages(p_parent uuid) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
  p llm_requests;
  r llm_requests;
BEGIN
  PERFORM llmreq_lock_pages(p_parent);
  SELECT * INTO p FROM llm_requests WHERE id = p_parent FOR NO KEY UPDATE;
  IF NOT (p.status IN ('failed', 'cancelled') OR p.status = 'completed' AND p.merge_report ->> 'complete' = 'false') THEN
    RETURN p.status;
  END IF;
  -- One that is still being cut ends by itself; its document may be retried again then.
  FOR r IN SELECT * FROM llm_requests q WHERE q.parent_id = p_parent AND q.status IN ('failed', 'cancelled') ORDER BY q.id LOOP
    IF r.route_id IS NOT NULL THEN  -- back to its route's beginning
      r.provider := NULL;
      r.model := NULL;
      r.status := 'pending';
      r := llmreq_place(r);
    END IF;
    UPDATE llm_requests q
    SET status = CASE WHEN p.execution = 'sequential' THEN 'waiting' ELSE 'pending' END, attempts = 0, rescues = 0,
        claim_seq = q.claim_seq + 1, worker_id = NULL, wait_reason = NULL, error_code = NULL, error_message = NULL,
        error_details = NULL, completed_at = NULL, lane = r.lane, route_id = r.route_id, route_position = r.route_position,
        output_cap = llmreq_output_cap(q.params), response = NULL, parsed_response = NULL, validation_errors = NULL, repairs = NULL,
        expires_at = CASE WHEN q.expires_at > llmreq_now() THEN q.expires_at END, scheduled_at = llmreq_now(), updated_at = llmreq_now()
    WHERE q.id = r.id;
  END LOOP;
  UPDATE llm_requests q
  SET status = 'waiting', attempts = 0, rescues = 0, claim_seq = q.claim_seq + 1, error_code = NULL, error_message = NULL,
      error_details = NULL, completed_at = NULL, response = NULL, parsed_response = NULL, validation_errors = NULL, repairs = NULL,
      merge_report = NULL, output_cap = llmreq_output_cap(q.params),
      expires_at = CASE WHEN q.expires_at > llmreq_now() THEN q.expires_at END, updated_at = llmreq_now()
  WHERE q.id = p_parent;
  PERFORM llmreq_turn_pages(ARRAY[p_parent]);
  RETURN (SELECT q.status FROM llm_requests q WHERE q.id = p_parent);
END
$$;
