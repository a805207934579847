-- llmreq_model_family(model) → text
-- A dated snapshot's family: gpt-4o-mini-2024-07-18 and claude-haiku-4-5-20251001 lose their date; other names stay.
CREATE OR REPLACE FUNCTION llmreq_model_family(p_model text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
AS $$
  SELECT regexp_replace(p_model, '-(20\d{2}-\d{2}-\d{2}|20\d{6}|latest)$', '')
$$;

-- llmreq_price_rows(provider, model) → price rows
-- All versions of one model's price, of every service tier: its own name before its family, that before the longest pattern that
-- fits (gpt-6*), and that before a wildcard of its provider (*).
CREATE OR REPLACE FUNCTION llmreq_price_rows(p_provider text, p_model text) RETURNS SETOF llm_prices
LANGUAGE plpgsql STABLE ROWS 3
AS $$
DECLARE
  v_name text;
BEGIN
  FOREACH v_name IN ARRAY ARRAY[p_model, llmreq_model_family(p_model)] LOOP
    RETURN QUERY SELECT p.* FROM llm_prices p WHERE p.provider = p_provider AND p.model = v_name AND NOT p.batch;
    IF FOUND THEN
      RETURN;
    END IF;
  END LOOP;
  SELECT p.model INTO v_name FROM llm_prices p
  WHERE p.provider = p_provider AND p.model LIKE '%*' AND NOT p.batch AND starts_with(p_model, rtrim(p.model, '*'))
  ORDER BY length(p.model) DESC LIMIT 1;
  RETURN QUERY SELECT p.* FROM llm_prices p WHERE p.provider = p_provider AND p.model = v_name AND NOT p.batch;
END
$$;

-- llmreq_service_tier(text) → the tier as the price book names it
-- What a request asks for, or an answer says it got. What costs the list price is 'standard', however the vendor calls it.
CREATE OR REPLACE FUNCTION llmreq_service_tier(p_tier text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE WHEN p_tier IS NULL OR p_tier IN ('auto', 'default', 'standard', 'standard_only', 'on_demand', 'scale', '') THEN 'standard'
              WHEN p_tier = 'fast' THEN 'priority' ELSE left(p_tier, 40) END
$$;

-- llmreq_cost(price row, tokens …) → numeric
-- Dollars of one call, exact: the only place a cost is computed (invariant 5). NULL when a bucket that was used has no price.
CREATE OR REPLACE FUNCTION llmreq_cost(
  p llm_prices, p_input bigint, p_cache_read bigint, p_cache_write_5m bigint, p_cache_write_1h bigint, p_output bigint
) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE WHEN (p).id IS NOT NULL THEN (
      CASE WHEN p_input > 0 THEN p_input * (p).input_usd_per_mtok ELSE 0 END
    + CASE WHEN p_cache_read > 0 THEN p_cache_read * (p).cache_read_usd_per_mtok ELSE 0 END
    + CASE WHEN p_cache_write_5m > 0 THEN p_cache_write_5m * (p).cache_write_5m_usd_per_mtok ELSE 0 END
    + CASE WHEN p_cache_write_1h > 0 THEN p_cache_write_1h * (p).cache_write_1h_usd_per_mtok ELSE 0 END
    + CASE WHEN p_output > 0 THEN p_output * (p).output_usd_per_mtok ELSE 0 END) * 0.000001 END
$$;

-- llmreq_token_prices(provider, model, at) → what one token of this lane may cost, by service tier and prompt threshold
-- For holds and lost calls. writes_usd: where the prompt may be written to a cache. Anthropic writes only what the request marks;
-- others may do it by themselves, at their price for short writes.
CREATE OR REPLACE FUNCTION llmreq_token_prices(p_provider text, p_model text, p_at timestamptz) RETURNS llmreq_token_price[]
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN ARRAY(
    SELECT ROW(
      v.service_tier, v.min_prompt_tokens,
      CASE WHEN v.input_usd_per_mtok IS NOT NULL
           THEN greatest(v.input_usd_per_mtok, CASE WHEN p_provider <> 'anthropic' THEN v.cache_write_5m_usd_per_mtok END) * 0.000001 END,
      CASE WHEN v.input_usd_per_mtok IS NOT NULL
           THEN greatest(v.input_usd_per_mtok, v.cache_write_5m_usd_per_mtok, v.cache_write_1h_usd_per_mtok) * 0.000001 END,
      coalesce(v.output_usd_per_mtok, 0) * 0.000001)::llmreq_token_price
    FROM (
      SELECT DISTINCT ON (p.service_tier, p.min_prompt_tokens) p.* FROM llmreq_price_rows(p_provider, p_model) p
      WHERE p.valid_from <= p_at
      ORDER BY p.service_tier, p.min_prompt_tokens, p.valid_from DESC) v);
END
$$;

-- llmreq_hold(lane's provider, its model, request row, prices, ceiling) → (usd, tokens, unpriced)
-- The most a call can cost (invariant 12): with OpenAI's tokenizers no text has more tokens than bytes / 1.4 (hex and base64 come
-- nearest), with others a token is at least a byte; what the worker adds has 2,000 bytes, and a re-ask the last answer again with its
-- errors; each image has its vendor's bound; every answer ends at the cap; at the highest rate such a prompt can meet. Where no price is
-- known, at the ceiling, and NULL without one. Tokens are NULL where nobody can bound them: then nothing that caps may take it.
CREATE OR REPLACE FUNCTION llmreq_hold(
  p_provider text, p_model text, p_input_bytes integer, p_answer_bytes integer, p_output_cap integer, p_images integer, p_choices integer,
  p_unbounded text, p_tier text, p_writes_cache boolean, p_prices llmreq_token_price[], p_ceiling numeric
) RETURNS TABLE (usd numeric, tokens bigint, unpriced boolean)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
AS $$
  SELECT coalesce(known.usd, (b.input + b.output) * p_ceiling), b.input + b.output, known.usd IS NULL
  FROM (SELECT CASE WHEN p_unbounded IS NULL THEN
                 ceil((coalesce(p_input_bytes, 0) + 2 * coalesce(p_answer_bytes, 0)::bigint + CASE WHEN p_answer_bytes > 0 THEN 10000 ELSE 2000 END)
                      / CASE WHEN p_provider = 'openai' THEN 1.4 ELSE 1.0 END)::bigint
                 + CASE WHEN p_images IS NULL THEN 0 ELSE p_images::bigint * llmreq_image_tokens(p_provider, p_model) END END AS input,
               coalesce(p_output_cap, 4096)::bigint * coalesce(p_choices, 1) AS output) b
  CROSS JOIN LATERAL (
    SELECT CASE WHEN count(*) = count(x.input_usd)
                THEN b.input * max(CASE WHEN p_writes_cache THEN x.writes_usd ELSE x.input_usd END) + b.output * max(x.output_usd)
           END AS usd
    FROM unnest(p_prices) x
    WHERE x.service_tier = coalesce(p_tier, 'standard') AND x.min_prompt_tokens <= b.input) known
$$;

-- llmreq_money_settings() → (ceiling: dollars a token counts for in budgets where its price is unknown, NULL: such calls are
-- refused; warns: a spend warning is set), as operators set them
CREATE OR REPLACE FUNCTION llmreq_money_settings(OUT ceiling numeric, OUT warns boolean)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  SELECT max(m.value) FILTER (WHERE m.key = 'unpriced_usd_per_mtok')::numeric * 0.000001, bool_or(m.key LIKE 'warn\_%')
  INTO ceiling, warns FROM llmreq_meta m;
END
$$;
