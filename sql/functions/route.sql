-- llmreq_served(lane) → boolean
-- Whether a live worker can call this lane now.
CREATE OR REPLACE FUNCTION llmreq_served(p_lane text) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM llm_workers w
    WHERE w.state = 'alive' AND w.lease_until > llmreq_now()
      AND (split_part(p_lane, '/', 1) = ANY (w.providers) OR p_lane = ANY (w.providers)));
END
$$;

-- llmreq_paused(lane) → boolean
-- Whether the lane, all lanes of its provider, or everything is paused.
CREATE OR REPLACE FUNCTION llmreq_paused(p_lane text) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN EXISTS (SELECT FROM llm_lanes l WHERE l.lane IN (p_lane, llmreq_provider_lane(p_lane), '*/*') AND l.paused);
END
$$;

-- llmreq_open(lane) → boolean
-- Whether a request sent to this lane now would be called soon: somebody serves it, it is not paused, its provider is not down.
CREATE OR REPLACE FUNCTION llmreq_open(p_lane text) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN llmreq_served(p_lane) AND NOT llmreq_paused(p_lane) AND NOT EXISTS (
    SELECT FROM llm_lanes l
    WHERE l.lane = p_lane AND l.block_reason = 'provider_down' AND l.blocked_until > llmreq_now());
END
$$;

-- llmreq_can_take(lane, task_type) → whether a route may send such a task there: local/rules only takes what rules can do
CREATE OR REPLACE FUNCTION llmreq_can_take(p_lane text, p_task_type text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN p_lane <> 'local/rules' OR p_task_type = ANY ('{chunking,classification,end,entities,entity_extraction,keywords,language,language_detection,semantic_chunking,start,summarization,summary,tagging,text,type}'::text[]);

-- llmreq_route(task_type, complexity, quality, provider) → (route_id, position, lane)
-- The most specific enabled route, and its first candidate that is open; where none is, its first candidate.
-- With a provider named, only that provider's candidates count. PL/pgSQL, because it runs for every INSERT and keeps its plan.
CREATE OR REPLACE FUNCTION llmreq_route(
  p_task_type text, p_complexity text, p_quality text, p_provider text,
  OUT route_id integer, OUT route_position smallint, OUT lane text
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_candidates text[];
  v_lane text;
  v_open boolean;
BEGIN
  SELECT r.id, r.candidates INTO route_id, v_candidates
  FROM llm_routes r
  WHERE r.enabled
    AND (r.task_type IS NULL OR r.task_type = p_task_type)
    AND (r.complexity IS NULL OR r.complexity = p_complexity)
    AND (r.quality IS NULL OR r.quality = p_quality)
    AND (p_provider IS NULL OR EXISTS (SELECT FROM unnest(r.candidates) c WHERE split_part(c, '/', 1) = p_provider))
  ORDER BY (r.task_type IS NOT NULL)::int * 4 + (r.quality IS NOT NULL)::int * 2 + (r.complexity IS NOT NULL)::int DESC, r.id
  LIMIT 1;
  FOR i IN 1 .. coalesce(cardinality(v_candidates), 0) LOOP
    v_lane := v_candidates[i];
    CONTINUE WHEN split_part(v_lane, '/', 1) <> p_provider OR NOT llmreq_can_take(v_lane, p_task_type);
    v_open := llmreq_open(v_lane);
    IF lane IS NULL OR v_open THEN
      lane := v_lane;
      route_position := i;
      EXIT WHEN v_open;
    END IF;
  END LOOP;
END
$$;

-- llmreq_place(row) → row
-- Sets a pending row's lane: explicit provider and model, else the model's only provider in the price book, else a route.
-- What cannot be placed ends failed/unknown_model here, before a worker ever sees it.
CREATE OR REPLACE FUNCTION llmreq_place(r llm_requests) RETURNS llm_requests
LANGUAGE plpgsql
AS $$
DECLARE
  v_known text[];
BEGIN
  r.provider := nullif(btrim(r.provider), '');
  r.model := nullif(btrim(r.model), '');
  IF r.provider IS NULL AND r.model IS NOT NULL THEN
    SELECT array_agg(DISTINCT p.provider) INTO v_known FROM llm_prices p
    WHERE p.provider = split_part(r.model, '/', 1) AND strpos(r.model, '/') > 0;
    IF v_known IS NOT NULL THEN
      r.provider := split_part(r.model, '/', 1);
      r.model := substr(r.model, strpos(r.model, '/') + 1);
    ELSE
      SELECT array_agg(DISTINCT p.provider) INTO v_known FROM llm_prices p
      WHERE p.model IN (r.model, llmreq_model_family(r.model));
      IF cardinality(v_known) = 1 THEN
        r.provider := v_known[1];
      ELSE
        RETURN llmreq_reject(r, 'unknown_model', CASE WHEN v_known IS NULL
          THEN format('no provider is known for model %L: set provider too', r.model)
          ELSE format('model %L is offered by %s: set provider too', r.model, array_to_string(v_known, ', ')) END);
      END IF;
    END IF;
  END IF;

  IF r.model IS NOT NULL THEN
    r.lane := r.provider || '/' || r.model;
    r.route_id := NULL;
    r.route_position := 1;
    RETURN r;
  END IF;

  SELECT x.route_id, coalesce(x.route_position, 1), x.lane INTO r.route_id, r.route_position, r.lane
  FROM llmreq_route(r.task_type, r.complexity, r.quality, r.provider) x;
  IF r.lane IS NULL THEN
    RETURN llmreq_reject(r, 'unknown_model', CASE WHEN r.provider IS NULL
      THEN 'no route matches this request: see llm_routes (llmreq routes), or set provider and model'
      ELSE format('provider %L is named without a model, and no route has a candidate of it: set model', r.provider) END);
  END IF;
  RETURN r;
END
$$;

-- llmreq_reject(row, code, message) → row
-- Ends a row that was never sent. Only for rows on their way in.
CREATE OR REPLACE FUNCTION llmreq_reject(r llm_requests, p_code text, p_message text) RETURNS llm_requests
LANGUAGE plpgsql
AS $$
BEGIN
  r.status := 'failed';
  r.error_code := p_code;
  r.error_message := p_message;
  r.error_details := jsonb_build_object('stage', 'insert');
  r.completed_at := llmreq_now();
  RETURN r;
END
$$;
