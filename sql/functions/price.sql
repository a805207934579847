-- llmreq_model_family(model) → text
-- A dated snapshot's family: gpt-4o-mini-2024-07-18 and claude-haiku-4-5-20251001 lose their date; other names stay.
CREATE OR REPLACE FUNCTION llmreq_model_family(p_model text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
AS $$
  SELECT regexp_replace(p_model, '-(20\d{2}-\d{2}-\d{2}|20\d{6}|latest)$', '')
$$;

-- llmreq_price_rows(provider, model) → price rows
-- All versions of one model's price: its own name before its family, that before a wildcard of its provider ('*').
CREATE OR REPLACE FUNCTION llmreq_price_rows(p_provider text, p_model text) RETURNS SETOF llm_prices
LANGUAGE plpgsql STABLE ROWS 3
AS $$
DECLARE
  v_name text;
BEGIN
  FOREACH v_name IN ARRAY ARRAY[p_model, llmreq_model_family(p_model), '*'] LOOP
    RETURN QUERY
    SELECT p.* FROM llm_prices p
    WHERE p.provider = p_provider AND p.model = v_name AND NOT p.batch AND p.service_tier = 'standard';
    EXIT WHEN FOUND;
  END LOOP;
END
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

-- llmreq_hold_per_token(provider, model, at) → (input, output)
-- The dearest a token can be on this lane: the highest of the input buckets and of the thresholds, for holds and lost calls.
-- NULL where the price is unknown.
CREATE OR REPLACE FUNCTION llmreq_hold_per_token(
  p_provider text, p_model text, p_at timestamptz, OUT input_usd numeric, OUT output_usd numeric
)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  SELECT max(greatest(v.input_usd_per_mtok, v.cache_write_5m_usd_per_mtok, v.cache_write_1h_usd_per_mtok)) * 0.000001,
         max(coalesce(v.output_usd_per_mtok, 0)) * 0.000001
  INTO input_usd, output_usd
  FROM (
    SELECT DISTINCT ON (p.min_prompt_tokens) p.* FROM llmreq_price_rows(p_provider, p_model) p
    WHERE p.valid_from <= p_at
    ORDER BY p.min_prompt_tokens, p.valid_from DESC) v;
END
$$;
