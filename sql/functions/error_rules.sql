-- llmreq_error_rules() → one row per error code
-- What happens after each code: the only copy of these rules.
--   charged   counts against max_attempts (a 429 and a shutdown do not, nor a call for which there was no connection)
--   retry     backoff    again on the same lane, later
--             reask      again at once, with the errors as feedback
--             larger_cap again at once, with twice the output cap
--             lane       again when the whole lane may go on
--             never      not on this lane
--   fallback  a routed request may go to its route's next candidate
--   breaker   how many such failures in a row close the lane for a while; NULL: never
CREATE OR REPLACE FUNCTION llmreq_error_rules()
RETURNS TABLE (code text, charged boolean, retry text, fallback boolean, breaker integer, meaning text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 23
AS $$
  VALUES
    ('provider_unavailable', true,  'backoff',    true,  5,    'no connection, or the provider answered 5xx'),
    ('provider_timeout',     true,  'backoff',    true,  5,    'no whole answer within timeout_seconds'),
    ('rate_limited',         false, 'lane',       false, NULL, 'the provider answered 429; the lane waits as long as it asked'),
    ('quota_exhausted',      true,  'never',      true,  1,    'the provider account is out of money or at its spend limit'),
    ('authentication',       true,  'never',      true,  1,    'the key is wrong or may not do this'),
    ('invalid_request',      true,  'never',      false, NULL, 'the request cannot be sent, or the provider refuses its form'),
    ('context_overflow',     true,  'never',      true,  NULL, 'the input does not fit the model''s window'),
    ('refused',              true,  'never',      false, NULL, 'the model declined to answer'),
    ('content_filtered',     true,  'never',      false, NULL, 'the provider''s filter stopped the answer'),
    ('truncated',            true,  'larger_cap', true,  NULL, 'the answer ran into its output cap'),
    ('empty_response',       true,  'backoff',    true,  NULL, 'the answer holds no text and no tool call'),
    ('malformed_json',       true,  'reask',      true,  NULL, 'the answer is not JSON'),
    ('schema_mismatch',      true,  'reask',      true,  NULL, 'the answer breaks the JSON Schema'),
    ('invalid_schema',       false, 'never',      false, NULL, 'response_schema or a tool''s schema is not usable; nothing was sent'),
    ('unknown_model',        true,  'never',      true,  NULL, 'no such model or provider'),
    ('unknown_agent',        false, 'never',      false, NULL, 'no stored agent of that name and version'),
    ('unpriced',             false, 'never',      false, NULL, 'a budget applies and the model''s price is unknown'),
    ('budget_exceeded',      false, 'never',      false, NULL, 'the request can never fit its budget'),
    ('unbounded_cost',       false, 'never',      false, NULL, 'a budget applies, and what the request holds has no bound'),
    ('expired',              false, 'never',      false, NULL, 'expires_at passed before an answer came'),
    ('poisoned',             false, 'never',      false, NULL, 'its worker died during this request three times'),
    ('partial_failure',      false, 'never',      false, NULL, 'some pages of the document failed'),
    ('internal',             true,  'backoff',    false, NULL, 'a fault of llmreq itself; the worker''s log has it')
$$;
