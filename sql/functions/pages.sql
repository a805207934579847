-- llmreq_make_pages(parent, pages)
-- Makes the pages of a request that a worker has cut: [{"start", "end", "tokens"}], places in its content, in characters. Each is a row
-- like any other, of the parent's tenant, agent, run, priority and deadline, so its limits and budgets bind it. Or the one page
-- [{"turns": n}]: a brief of the conversation's first n turns, after which the request goes on by itself.
-- Executed in order, every page but the first waits for the one before it.
CREATE OR REPLACE FUNCTION llmreq_make_pages(p_parent uuid, p_pages jsonb) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  p llm_requests;
  v_provider text;
  v_model text;
BEGIN
  SELECT * INTO p FROM llm_requests WHERE id = p_parent;
  IF p.route_id IS NULL THEN
    v_provider := split_part(p.pages_lane, '/', 1);
    v_model := substr(p.pages_lane, strpos(p.pages_lane, '/') + 1);
  END IF;
  IF p_pages -> 0 ? 'turns' THEN
    INSERT INTO llm_requests (tenant_id, agent_id, task_type, kind, agent_name, priority, expires_at, timeout_seconds, max_attempts,
                              run_id, document_id, on_unavailable, parent_id, page, content, params)
    VALUES (p.tenant_id, p.agent_id, 'brief', 'brief', 'running-brief', p.priority, p.expires_at, p.timeout_seconds,
            p.max_attempts, p.run_id, p.document_id, 'degrade', p.id, 1, p_pages -> 0 ->> 'content', p_pages -> 0 -> 'params');
    UPDATE llm_requests
    SET brief = jsonb_build_object('turns', p_pages -> 0 -> 'turns', 'rest_bytes', p_pages -> 0 -> 'rest_bytes')
    WHERE id = p_parent;
  ELSE
    INSERT INTO llm_requests (
      tenant_id, agent_id, task_type, complexity, kind, quality, agent_name, agent_version, provider, model, params, response_schema, allow_text,
      priority, expires_at, timeout_seconds, max_attempts, run_id, document_id, on_unavailable, parent_id, page, page_start, page_end,
      content, execution, estimated_tokens, scheduled_at)
    SELECT p.tenant_id, p.agent_id, p.task_type, p.complexity, p.kind, p.quality, p.agent_name, p.agent_version, v_provider, v_model, p.params,
           p.response_schema, p.allow_text, p.priority, p.expires_at, p.timeout_seconds, p.max_attempts, p.run_id, p.document_id,
           p.on_unavailable, p.id, x.n, (x.page ->> 'start')::integer, (x.page ->> 'end')::integer,
           coalesce(x.page ->> 'text', substr(p.content, (x.page ->> 'start')::integer + 1,
                                              (x.page ->> 'end')::integer - (x.page ->> 'start')::integer)),
           p.execution, (x.page ->> 'tokens')::bigint + p.output_cap,
           llmreq_now() - (jsonb_array_length(p_pages) - x.n) * interval '1 us'  -- claimed in their order
    FROM jsonb_array_elements(p_pages) WITH ORDINALITY AS x (page, n)
    ORDER BY x.n;
    IF p.execution = 'sequential' THEN
      UPDATE llm_requests SET status = 'waiting' WHERE parent_id = p_parent AND page > 1 AND status = 'pending';
    END IF;
  END IF;
  UPDATE llm_requests SET pages = jsonb_array_length(p_pages) WHERE id = p_parent;
  PERFORM llmreq_turn_pages(ARRAY[p_parent]);  -- some may have ended on arrival
  RETURN jsonb_array_length(p_pages);
END
$$;

-- llmreq_turn_pages(parents)
-- Looks at the pages of these requests again, after some of them were called or ended:
--   a parent's tokens and dollars are the sums of its own calls and of its pages';
--   in order, the next page may begin;
--   with all pages ended the parent is pending again, to be merged (or, after a brief, to be asked);
--   a failed page fails its parent at once, and the pages still open are cancelled, unless the agent's on_page_failure is 'partial'.
-- Parents are locked after everything else, and under that lock the pages are counted anew, so that of two last pages that end at the
-- same time the second one sees both. Nobody waits for a parent: it is a request as well, which a finish of its own call may hold while
-- it waits for a lane of ours. One that is held for more than milliseconds is left to the next sweep (llm_turns).
CREATE OR REPLACE FUNCTION llmreq_turn_pages(p_parents uuid[]) RETURNS void
LANGUAGE plpgsql
SET llmreq.engine = 'on'
AS $$
DECLARE
  v_now timestamptz := llmreq_now();
  p llm_requests;
  c record;
  v_partial boolean;
  v_held uuid[];
BEGIN
  FOR i IN 1 .. 10 LOOP
    PERFORM pg_sleep(0.002) WHERE i > 1;
    v_held := ARRAY(SELECT r.id FROM llm_requests r WHERE r.id = ANY (p_parents) ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED);
    EXIT WHEN cardinality(v_held) >= (SELECT count(*) FROM llm_requests r WHERE r.id = ANY (p_parents));
  END LOOP;
  INSERT INTO llm_turns (parent_id) SELECT r.id FROM llm_requests r WHERE r.id = ANY (p_parents) AND r.id <> ALL (v_held);
  FOR p IN
    SELECT r.* FROM llm_requests r WHERE r.id = ANY (v_held) AND r.pages IS NOT NULL ORDER BY r.id
  LOOP
    SELECT count(*) FILTER (WHERE r.status = 'completed') AS completed,
           count(*) FILTER (WHERE r.status IN ('failed', 'cancelled')) AS failed,
           count(*) FILTER (WHERE r.status IN ('pending', 'processing')) AS running,
           count(*) FILTER (WHERE r.status NOT IN ('completed', 'failed', 'cancelled')) AS open,
           sum(r.input_tokens) AS input_tokens, sum(r.output_tokens) AS output_tokens, sum(r.cache_read_tokens) AS cache_read_tokens,
           sum(r.cache_write_tokens) AS cache_write_tokens, sum(r.reasoning_tokens) AS reasoning_tokens,
           CASE WHEN count(*) = count(r.cost_usd) THEN coalesce(sum(r.cost_usd), 0) END AS cost_usd,
           (array_agg(format('page %s: %s: %s', r.page, coalesce(r.error_code, r.status), left(r.error_message, 300)) ORDER BY r.page)
            FILTER (WHERE r.status IN ('failed', 'cancelled')))[1] AS first_failure
    INTO c FROM llm_requests r WHERE r.parent_id = p.id;
    UPDATE llm_requests q
    SET pages_done = c.completed, pages_failed = c.failed, input_tokens = own.input_tokens + coalesce(c.input_tokens, 0),
        output_tokens = own.output_tokens + coalesce(c.output_tokens, 0), cache_read_tokens = own.cache_read_tokens + coalesce(c.cache_read_tokens, 0),
        cache_write_tokens = own.cache_write_tokens + coalesce(c.cache_write_tokens, 0),
        reasoning_tokens = own.reasoning_tokens + coalesce(c.reasoning_tokens, 0), cost_usd = own.cost_usd + c.cost_usd, updated_at = v_now
    FROM llmreq_own_sums(p.id, p.created_at) own
    WHERE q.id = p.id;
    CONTINUE WHEN p.status <> 'waiting';

    v_partial := p.brief IS NULL AND (SELECT a.on_page_failure = 'partial' FROM llm_agents a WHERE a.id = p.agent_ref);
    IF c.failed > 0 AND NOT coalesce(v_partial, false) OR c.open = 0 AND c.completed = 0 THEN
      UPDATE llm_requests q
      SET status = 'failed', error_code = CASE WHEN p.brief IS NULL THEN 'partial_failure' ELSE 'context_overflow' END,
          error_message = concat_ws(' ', CASE WHEN p.brief IS NOT NULL THEN 'the older turns could not be made a brief;' END,
                                    format('%s of %s pages failed;', c.failed, p.pages), c.first_failure),
          completed_at = v_now, claim_seq = q.claim_seq + 1, wait_reason = NULL
      WHERE q.id = p.id;
      PERFORM llmreq_cancel_pages(p.id);
    ELSIF c.open = 0 THEN
      UPDATE llm_requests q
      SET status = 'pending', scheduled_at = v_now, wait_reason = NULL, error_code = NULL, error_message = NULL, error_details = NULL,
          validation_errors = NULL, response = NULL,
          lane = CASE WHEN p.brief IS NOT NULL OR p.merge_strategy = 'reduce' THEN p.pages_lane ELSE 'local/pages' END,
          -- What it asks now is as long as the pages' answers: what it may cost follows from that.
          input_bytes = n.bytes, estimated_tokens = ceil(n.bytes / 3.0) + q.output_cap,
          -- The brief goes into the question, and it is a single request again.
          brief = CASE WHEN p.brief IS NOT NULL THEN p.brief || jsonb_build_object('text', (
                    SELECT coalesce(r.parsed_response ->> 'brief', r.response) FROM llm_requests r WHERE r.parent_id = p.id AND r.page = 1)) END
      FROM (
        SELECT least(2 * sum(coalesce(octet_length(r.response), 0)) + 4000 + coalesce((p.brief ->> 'rest_bytes')::bigint, 0), 2147483647) AS bytes
        FROM llm_requests r WHERE r.parent_id = p.id) n
      WHERE q.id = p.id;
    ELSIF c.running = 0 THEN
      -- It will be asked with the result of the page before, which its hold must know.
      UPDATE llm_requests q
      SET status = 'pending', scheduled_at = v_now, updated_at = v_now,
          input_bytes = (llmreq_measure(q, q.estimated_tokens)).input_bytes + (
            SELECT coalesce(max(greatest(octet_length(r.response), octet_length(r.parsed_response::text))), 0) FROM llm_requests r
            WHERE r.parent_id = p.id AND r.status = 'completed')
      WHERE q.id = ANY (ARRAY(
        SELECT n.id FROM llm_requests n
        WHERE n.parent_id = p.id AND n.status = 'waiting'
          AND n.page = (SELECT min(r.page) FROM llm_requests r WHERE r.parent_id = p.id AND r.status = 'waiting')
        FOR NO KEY UPDATE SKIP LOCKED));
      IF NOT FOUND AND c.open > 0 THEN
        INSERT INTO llm_turns (parent_id) VALUES (p.id);  -- somebody holds that page, as a late answer of its last claim does
      END IF;
    END IF;
  END LOOP;
END
$$;

-- llmreq_own_sums(request, created_at) → tokens and dollars of a request's own calls, without its pages'
CREATE OR REPLACE FUNCTION llmreq_own_sums(p_id uuid, p_created_at timestamptz)
RETURNS TABLE (input_tokens bigint, output_tokens bigint, cache_read_tokens bigint, cache_write_tokens bigint, reasoning_tokens bigint,
               cost_usd numeric)
LANGUAGE plpgsql VOLATILE ROWS 1
AS $$
BEGIN
  RETURN QUERY
  SELECT coalesce(sum(a.input_tokens), 0)::bigint, coalesce(sum(a.output_tokens), 0)::bigint, coalesce(sum(a.cache_read_tokens), 0)::bigint,
         coalesce(sum(coalesce(a.cache_write_5m_tokens, 0) + coalesce(a.cache_write_1h_tokens, 0)), 0)::bigint,
         coalesce(sum(a.reasoning_tokens), 0)::bigint,
         CASE WHEN count(*) FILTER (WHERE a.cost_usd IS NULL) = count(*) FILTER (WHERE a.outcome = 'priced')
              THEN coalesce(sum(a.cost_usd), 0) END
  FROM llm_attempts a
  WHERE a.request_id = p_id AND a.claimed_at >= p_created_at - interval '1 hour';
END
$$;

-- llmreq_cancel_pages(parent) → pages cancelled
-- Ends the open pages of a request that has ended. One that is being called is cut by its worker; one that somebody holds at this moment
-- is left to the next sweep.
CREATE OR REPLACE FUNCTION llmreq_cancel_pages(p_parent uuid) RETURNS integer
LANGUAGE plpgsql
SET llmreq.engine = 'on'
AS $$
DECLARE
  v_count integer;
BEGIN
  WITH open AS MATERIALIZED (
    SELECT r.id, r.status FROM llm_requests r
    WHERE r.parent_id = p_parent AND r.status IN ('pending', 'waiting', 'processing') AND r.cancel_requested_at IS NULL
    ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED
  )
  UPDATE llm_requests q
  SET status = CASE WHEN o.status = 'processing' THEN q.status ELSE 'cancelled' END,
      claim_seq = q.claim_seq + CASE WHEN o.status = 'processing' THEN 0 ELSE 1 END,
      cancel_requested_at = CASE WHEN o.status = 'processing' THEN llmreq_now() END,
      completed_at = CASE WHEN o.status = 'processing' THEN q.completed_at ELSE llmreq_now() END,
      wait_reason = NULL, budget_id = NULL,
      hold_usd = CASE WHEN o.status = 'processing' THEN q.hold_usd END,
      hold_tokens = CASE WHEN o.status = 'processing' THEN q.hold_tokens END, updated_at = llmreq_now()
  FROM open o WHERE q.id = o.id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END
$$;

-- llmreq_sweep_pages(limit) → pages cancelled and documents looked at
-- Open pages whose parent has ended: what llmreq_cancel_pages could not lock. And documents that somebody held when their pages ended.
-- Any worker, any time.
CREATE OR REPLACE FUNCTION llmreq_sweep_pages(p_limit integer DEFAULT 100) RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '1s'
AS $$
DECLARE
  v_parent uuid;
  v_count integer := 0;
  v_turn bigint;
BEGIN
  FOR v_turn, v_parent IN SELECT t.id, t.parent_id FROM llm_turns t ORDER BY t.id LIMIT p_limit FOR UPDATE SKIP LOCKED LOOP
    BEGIN
      DELETE FROM llm_turns t WHERE t.id = v_turn;
      PERFORM llmreq_turn_pages(ARRAY[v_parent]);
      v_count := v_count + 1;
    EXCEPTION WHEN OTHERS THEN
      PERFORM llmreq_report('document_not_turned', v_parent::text, SQLSTATE);
    END;
  END LOOP;
  FOR v_parent IN
    SELECT DISTINCT r.parent_id FROM llm_requests r JOIN llm_requests p ON p.id = r.parent_id
    WHERE r.parent_id IS NOT NULL AND r.status IN ('pending', 'processing', 'waiting') AND r.cancel_requested_at IS NULL
      AND p.status IN ('failed', 'cancelled', 'completed')
    LIMIT p_limit
  LOOP
    BEGIN
      v_count := v_count + llmreq_cancel_pages(v_parent);
    EXCEPTION WHEN OTHERS THEN
      PERFORM llmreq_report('pages_not_cancelled', v_parent::text, SQLSTATE);
    END;
  END LOOP;
  RETURN v_count;
END
$$;

-- llmreq_settle_pages(ended)
-- The last part of a finish: cuts what workers have cut into pages, and turns the pages of the documents that others belong to.
-- `ended` is a JSON list of id, parent_id, document (whether it has pages itself) and pages (places, where it was cut just now).
CREATE OR REPLACE FUNCTION llmreq_settle_pages(p_ended json) RETURNS void
LANGUAGE plpgsql
SET enable_nestloop = on
AS $$
DECLARE
  e record;
BEGIN
  FOR e IN SELECT x.* FROM json_to_recordset(p_ended) AS x (id uuid, pages jsonb) WHERE x.pages IS NOT NULL ORDER BY x.id LOOP
    PERFORM llmreq_make_pages(e.id, e.pages);
  END LOOP;
  PERFORM llmreq_turn_pages(ARRAY(
    SELECT DISTINCT coalesce(x.parent_id, x.id) FROM json_to_recordset(p_ended) AS x (id uuid, parent_id uuid, document boolean)
    WHERE x.parent_id IS NOT NULL OR x.document));
END
$$;
