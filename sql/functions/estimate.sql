-- llmreq_estimate_tokens(text) → integer
-- Tokens of a text, for rows that no Python ever saw. ASCII at 3.6 characters a token; every further UTF-8 byte, which is what
-- CJK, Cyrillic and emoji have, at half a token: English prose and JSON come out 0-25 % high, Chinese about right.
CREATE OR REPLACE FUNCTION llmreq_estimate_tokens(p_text text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
AS $$
DECLARE
  v_chars integer := length(p_text);
  v_extra double precision := (octet_length(p_text) - v_chars) / 2.0;
BEGIN
  RETURN ceil(greatest(0, v_chars - v_extra) / 3.6 + v_extra);
END
$$;

-- llmreq_output_cap(params) → integer
-- The output cap a request's calls begin with: the producer's, else 4,096 (Anthropic needs one, and a hold needs one everywhere).
CREATE OR REPLACE FUNCTION llmreq_output_cap(p_params jsonb) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  v_name text;
BEGIN
  IF jsonb_typeof(p_params) = 'object' THEN
    FOREACH v_name IN ARRAY ARRAY['max_output_tokens', 'max_completion_tokens', 'max_tokens'] LOOP
      IF jsonb_typeof(p_params -> v_name) = 'number' THEN
        RETURN least(greatest((p_params ->> v_name)::numeric, 1), 1000000);
      END IF;
    END LOOP;
  END IF;
  RETURN 4096;
END
$$;
