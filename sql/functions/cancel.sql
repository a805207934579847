-- llmreq_cancel(id) → status
-- Ends a request, and the open pages of a document. Pending: cancelled at once. Processing: its worker is told with the next heartbeat,
-- within a second, and cuts the call; what it cost is still booked. Ended: unchanged. NULL: no such request.
-- claim_seq moves for a pending row, so that a late answer cannot bring it back.
CREATE OR REPLACE FUNCTION llmreq_cancel(p_id uuid) RETURNS text
LANGUAGE plpgsql
SET lock_timeout = '5s' SET llmreq.engine = 'on'
AS $$
DECLARE
  v_status text;
  v_parent uuid;
BEGIN
  PERFORM llmreq_lock_pages(p_id);
  SELECT status, parent_id INTO v_status, v_parent FROM llm_requests WHERE id = p_id FOR NO KEY UPDATE;
  IF v_status IN ('pending', 'waiting') THEN
    UPDATE llm_requests
    SET status = 'cancelled', claim_seq = claim_seq + 1, wait_reason = NULL, budget_id = NULL, hold_usd = NULL,
        hold_tokens = NULL, completed_at = llmreq_now(), updated_at = llmreq_now()
    WHERE id = p_id;
    PERFORM llmreq_cancel_pages(p_id);
    IF v_parent IS NOT NULL THEN
      PERFORM llmreq_turn_pages(ARRAY[v_parent]);
    END IF;
    RETURN 'cancelled';
  ELSIF v_status = 'processing' THEN
    UPDATE llm_requests SET cancel_requested_at = llmreq_now(), updated_at = llmreq_now()
    WHERE id = p_id AND cancel_requested_at IS NULL;
  END IF;
  RETURN v_status;
END
$$;

-- llmreq_lock_pages(parent)
-- Pages are locked before their parent, as a finish does it. A request without pages has none to lock.
CREATE OR REPLACE FUNCTION llmreq_lock_pages(p_parent uuid) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM FROM llm_requests r WHERE r.parent_id = p_parent ORDER BY r.id FOR NO KEY UPDATE;
END
$$;
