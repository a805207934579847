-- How many tokens a model reads and writes in one call, as of 2026-11-20, from the vendors' pages by way of litellm 1.109.1. A pattern
-- (gpt-5.4*) stands for all models that begin so; the longest name that fits counts. A model that is not here is sent whatever it is
-- asked; add a row to have long requests cut, compressed or refused before they cost anything.
INSERT INTO llm_models (provider, model, context_tokens, max_output_tokens, source)
SELECT x.provider, m, x.context_tokens, x.max_output_tokens, 'vendor''s page, 2026-11-20'
FROM (VALUES
  ('anthropic', 'claude-*',                                                            1000000, 128000),
  ('anthropic', 'claude-haiku-4-5 claude-sonnet-4-5 claude-opus-4-5',                   200000,  64000),
  ('openai',    'gpt-6* gpt-5.6* gpt-5.5* gpt-5.4 gpt-5.4-pro',                        1050000, 128000),
  ('openai',    'gpt-5.4-mini gpt-5.4-nano gpt-5.2* gpt-5.1* gpt-5 gpt-5-mini gpt-5-nano', 400000, 128000),
  ('openai',    'gpt-4.1*',                                                            1047576,  32768),
  ('openai',    'gpt-4o*',                                                              128000,  16384),
  ('openai',    'o1 o3 o3-* o4-mini',                                                   200000, 100000),
  ('gemini',    'gemini-*',                                                            1048576,  65536),
  ('mistral',   'mistral-large-latest mistral-large-3',                                 262144,   NULL),
  ('mistral',   'mistral-large-4',                                                     1000000,   NULL)
) AS x (provider, models, context_tokens, max_output_tokens)
CROSS JOIN unnest(string_to_array(x.models, ' ')) AS m
ON CONFLICT DO NOTHING;
