-- The price book a database begins with: list prices in US dollars per million tokens, as of 2026-11-20.
-- It also tells which provider a model belongs to when a request names only the model (llmreq_place).
--
-- Versions      A row holds from valid_from (UTC) until a later row of the same provider, model, min_prompt_tokens, service_tier
--               and batch. A price change is a NEW row with a later valid_from. Rows are never edited: attempts keep the id of
--               the row they were priced by. So this file only ever grows; a second run inserts nothing, and a correction made
--               in place here would not reach any database that has the row already.
-- valid_from    2025-01-01 stands for "this price ever since, as far as known".
-- NULL          Unknown, or a bucket the vendor does not have. Never 0: a call that used such a bucket is unpriced, not free.
--               The zeros of `local` are the only ones: your own machine sends no bill.
-- Thresholds    min_prompt_tokens counts the whole prompt: input + cache read + cache writes. From there on the whole request is
--               at that row's rate.
-- Cache writes  The 5m column also holds OpenAI's 30-minute writes, the 1h column its 12-hour writes (before 5.6 it has neither).
-- Derived rows  batch, flex and priority come from the standard rows by the vendor's published factors, long prompts included.
--               Priority for long prompts has no published price, so those rows are NULL: they keep the short price from applying.
-- Not here      Claude's fast mode (2x) and inference_geo = us (1.1x), web search ($10 per 1,000), regional surcharges, image and
--               audio tokens, and every discount of your own. Add your own rows for what you are really billed.
-- Sources       litellm's price map 1.109.1 (November 2026) where a row says nothing else; "unconfirmed" marks third-party reports.
--               Two early figures in circulation are WRONG: claude-haiku-4-5 at 0.25/1.25 (that was Claude 3 Haiku; it is 1/5)
--               and gpt-4.1 at 2.5/10 (that is gpt-4o; it is 2/8).

INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, cache_read_usd_per_mtok, cache_write_5m_usd_per_mtok,
                        cache_write_1h_usd_per_mtok, output_usd_per_mtok, source)
VALUES ('local', '*', '-infinity', 0, 0, 0, 0, 0, 'your own machine')
ON CONFLICT DO NOTHING;

-- Anthropic. Batch is half of every column, cache included.
WITH price (models, valid_from, min_prompt_tokens, input, cache_read, write_5m, write_1h, output, source) AS (VALUES
  ('claude-fable-5-2', date '2026-11-09', 0, 8, 0.20, 10, 16, 40, 'third-party report, unconfirmed; 1h write derived'),
  -- The vendor lists the model but no price.
  ('claude-mythos-5-2',                  '2025-01-01', 0,      NULL, NULL, NULL,  NULL, NULL, 'price unknown'),
  ('claude-fable-5-1 claude-mythos-5-1', '2025-01-01', 0,      10,   0.25, 12.5,  20,   50,   NULL),
  ('claude-fable-5 claude-mythos-5',     '2025-01-01', 0,      10,   1,    12.5,  20,   50,   NULL),
  ('claude-opus-5-5',                    '2025-01-01', 0,      4,    0.20, 5,     8,    20,   NULL),
  ('claude-opus-5 claude-opus-4-8 claude-opus-4-7 claude-opus-4-6 claude-opus-4-5',
                                         '2025-01-01', 0,      5,    0.50, 6.25,  10,   25,   NULL),
  ('claude-sonnet-5-5',                  '2025-01-01', 0,      2,    0.20, 2.5,   4,    10,   'list price to 2026-10-06'),
  ('claude-sonnet-5-5',                  '2026-10-07', 0,      2,    0.10, 2.5,   4,    10,   NULL),
  ('claude-sonnet-5',                    '2025-01-01', 0,      2,    0.20, 2.5,   4,    10,   NULL),
  ('claude-sonnet-4-6 claude-sonnet-4-5', '2025-01-01', 0,     3,    0.30, 3.75,  6,    15,   NULL),
  ('claude-haiku-5-5',                   '2025-01-01', 0,      0.10, 0.01, 0.125, 0.20, 0.50, NULL),
  ('claude-haiku-5-5',                   '2025-01-01', 100001, 0.50, 0.05, 0.625, 1,    2.50, NULL),
  ('claude-haiku-4-5',                   '2025-01-01', 0,      1,    0.10, 1.25,  2,    5,    NULL)
), way (batch, factor, suffix) AS (VALUES (false, 1, ''), (true, 0.5, ', batch 50 %'))
INSERT INTO llm_prices (provider, model, valid_from, min_prompt_tokens, service_tier, batch, input_usd_per_mtok,
                        cache_read_usd_per_mtok, cache_write_5m_usd_per_mtok, cache_write_1h_usd_per_mtok, output_usd_per_mtok,
                        source)
SELECT 'anthropic', model, valid_from::timestamp AT TIME ZONE 'UTC', min_prompt_tokens, 'standard', batch,
       trim_scale(input * factor), trim_scale(cache_read * factor), trim_scale(write_5m * factor), trim_scale(write_1h * factor),
       trim_scale(output * factor), coalesce(source, 'list price 2026-11-20, litellm 1.109.1') || suffix
FROM price CROSS JOIN way CROSS JOIN unnest(string_to_array(models, ' ')) AS model
ORDER BY model, valid_from, min_prompt_tokens, batch
ON CONFLICT DO NOTHING;

-- OpenAI, models that answer. `long`: above 272K prompt tokens 2x on input and cache, 1.5x on output. A 12-hour cache write
-- is twice a 30-minute one. Batch and flex are half. `priority` is the vendor's factor; NULL where it publishes none.
WITH price (models, valid_from, input, cache_read, write_30m, output, long, priority, source) AS (VALUES
  ('gpt-6.2-astra',         date '2026-11-17', 8, NULL, NULL, 40, true, 2, 'third-party report, unconfirmed; cache unknown'),
  ('gpt-6.2-sol',           '2025-01-01', 2,    NULL,  NULL,  10,   true,  2,    'third-party report, unconfirmed; cache unknown'),
  ('gpt-6-astra',           '2025-01-01', 10,   1,     12.5,  50,   true,  2,    NULL),
  ('gpt-6.1-sol',           '2025-01-01', 2,    0.1,   2.5,   10,   true,  2,    NULL),
  ('gpt-6.1-terra',         '2025-01-01', 1,    0.05,  1.25,  5,    true,  2,    NULL),
  ('gpt-6-sol',             '2025-01-01', 2,    0.2,   2.5,   10,   true,  2,    NULL),
  ('gpt-6-luna',            '2025-01-01', 0.1,  0.01,  0.125, 0.5,  true,  2,    NULL),
  ('gpt-5.6 gpt-5.6-sol',   '2025-01-01', 5,    0.5,   6.25,  30,   true,  2,    'launch price, third-party reports'),
  ('gpt-5.6 gpt-5.6-sol',   '2026-08-21', 4,    0.4,   5,     20,   true,  2,    'promotion, to 2026-11-21 or longer'),
  ('gpt-5.6-terra',         '2025-01-01', 2.5,  0.25,  3.125, 15,   true,  2,    'launch price, third-party reports'),
  ('gpt-5.6-terra',         '2026-07-30', 2,    0.2,   2.5,   12,   true,  2,    NULL),
  ('gpt-5.6-luna',          '2025-01-01', 1,    0.1,   1.25,  6,    true,  2,    'launch price, third-party reports'),
  ('gpt-5.6-luna',          '2026-07-30', 0.2,  0.02,  0.25,  1.2,  true,  2,    NULL),
  ('gpt-5.5',               '2025-01-01', 5,    0.5,   NULL,  30,   true,  2.5,  NULL),
  ('gpt-5.5-pro',           '2025-01-01', 30,   NULL,  NULL,  180,  true,  NULL, NULL),
  ('gpt-5.4',               '2025-01-01', 2.5,  0.25,  NULL,  15,   true,  2,    NULL),
  ('gpt-5.4-mini',          '2025-01-01', 0.75, 0.075, NULL,  4.5,  false, 2,    NULL),
  ('gpt-5.4-nano',          '2025-01-01', 0.2,  0.02,  NULL,  1.25, false, NULL, NULL),
  ('gpt-5.2',               '2025-01-01', 1.75, 0.175, NULL,  14,   false, 2,    NULL),
  ('gpt-5.1 gpt-5',         '2025-01-01', 1.25, 0.125, NULL,  10,   false, 2,    NULL),
  ('gpt-5-mini',            '2025-01-01', 0.25, 0.025, NULL,  2,    false, 1.8,  NULL),
  ('gpt-5-nano',            '2025-01-01', 0.05, 0.005, NULL,  0.4,  false, NULL, NULL),
  ('gpt-4.1 o3',            '2025-01-01', 2,    0.5,   NULL,  8,    false, 1.75, NULL),
  ('gpt-4.1-mini',          '2025-01-01', 0.4,  0.1,   NULL,  1.6,  false, 1.75, NULL),
  ('gpt-4.1-nano',          '2025-01-01', 0.1,  0.025, NULL,  0.4,  false, 2,    NULL),
  ('gpt-4o',                '2025-01-01', 2.5,  1.25,  NULL,  10,   false, 1.7,  NULL),
  -- Dearer than its family, and without a cache price: its own row keeps it from the family's.
  ('gpt-4o-2024-05-13',     '2025-01-01', 5,    NULL,  NULL,  15,   false, 1.75, 'list price of the first snapshot'),
  ('gpt-4o-mini',           '2025-01-01', 0.15, 0.075, NULL,  0.6,  false, NULL, NULL),
  ('o3-pro',                '2025-01-01', 20,   NULL,  NULL,  80,   false, NULL, NULL),
  ('o4-mini',               '2025-01-01', 1.1,  0.275, NULL,  4.4,  false, NULL, NULL),
  ('o3-mini',               '2025-01-01', 1.1,  0.55,  NULL,  4.4,  false, NULL, NULL),
  ('o1',                    '2025-01-01', 15,   7.5,   NULL,  60,   false, NULL, NULL)
), size (min_prompt_tokens, dearer, dearer_output) AS (VALUES (0, 1, 1), (272001, 2, 1.5)
), way (service_tier, batch, half, suffix) AS (VALUES
  ('standard', false, 1, ''), ('standard', true, 0.5, ', batch 50 %'), ('flex', false, 0.5, ', flex 50 %'),
  ('priority', false, NULL, ', priority tier')
), derived AS (
  SELECT *, CASE WHEN service_tier <> 'priority' THEN half WHEN min_prompt_tokens = 0 THEN priority END AS factor
  FROM price CROSS JOIN size CROSS JOIN way CROSS JOIN unnest(string_to_array(models, ' ')) AS model
  WHERE (long OR min_prompt_tokens = 0) AND (priority IS NOT NULL OR service_tier <> 'priority')
)
INSERT INTO llm_prices (provider, model, valid_from, min_prompt_tokens, service_tier, batch, input_usd_per_mtok,
                        cache_read_usd_per_mtok, cache_write_5m_usd_per_mtok, cache_write_1h_usd_per_mtok, output_usd_per_mtok,
                        source)
SELECT 'openai', model, valid_from::timestamp AT TIME ZONE 'UTC', min_prompt_tokens, service_tier, batch,
       trim_scale(input * dearer * factor), trim_scale(cache_read * dearer * factor), trim_scale(write_30m * dearer * factor),
       trim_scale(write_30m * 2 * dearer * factor), trim_scale(output * dearer_output * factor),
       CASE WHEN factor IS NULL THEN 'price unknown' ELSE coalesce(source, 'list price 2026-11-20, litellm 1.109.1') END || suffix
FROM derived
ORDER BY model, valid_from, min_prompt_tokens, service_tier DESC, batch
ON CONFLICT DO NOTHING;

-- Priority prices that are no round factor of the standard price.
INSERT INTO llm_prices (provider, model, valid_from, service_tier, input_usd_per_mtok, cache_read_usd_per_mtok,
                        output_usd_per_mtok, source)
VALUES ('openai', 'gpt-4o-mini', '2025-01-01 00:00:00+00', 'priority', 0.25, 0.125, 1, 'list price, vendor''s priority page'),
       ('openai', 'o4-mini',     '2025-01-01 00:00:00+00', 'priority', 2,    0.5,   8, 'list price, vendor''s priority page')
ON CONFLICT DO NOTHING;

-- Embeddings and reranking (they have no output), and the others' chat models.
WITH price (provider, models, min_prompt_tokens, batch, input, cache_read, output, source) AS (VALUES
  ('openai',  'text-embedding-3-small',                 0, false, 0.02,  NULL, NULL, NULL),
  ('openai',  'text-embedding-3-small',                 0, true,  0.01,  NULL, NULL, NULL),
  ('openai',  'text-embedding-3-large',                 0, false, 0.13,  NULL, NULL, NULL),
  ('openai',  'text-embedding-3-large',                 0, true,  0.065, NULL, NULL, NULL),
  ('openai',  'text-embedding-ada-002',                 0, false, 0.10,  NULL, NULL, NULL),
  ('voyage',  'voyage-3-large voyage-code-3 voyage-context-3', 0, false, 0.18, NULL, NULL, NULL),
  ('voyage',  'voyage-4-large voyage-code-4 voyage-context-4 voyage-finance-2 voyage-law-2 voyage-multimodal-3.5',
                                                        0, false, 0.12,  NULL, NULL, NULL),
  ('voyage',  'voyage-4 voyage-3.5',                    0, false, 0.06,  NULL, NULL, NULL),
  ('voyage',  'rerank-3 rerank-2.5',                    0, false, 0.05,  NULL, NULL, NULL),
  ('voyage',  'voyage-4-lite voyage-3.5-lite rerank-2.5-lite', 0, false, 0.02, NULL, NULL, NULL),
  ('cohere',  'embed-v4.0 embed-v5.0-pro',              0, false, 0.12,  NULL, NULL, NULL),
  ('cohere',  'embed-v5.0-fast',                        0, false, 0.08,  NULL, NULL, NULL),
  ('gemini',  'gemini-2.5-pro',                         0, false, 1.25, 0.125, 10,   NULL),
  ('gemini',  'gemini-2.5-pro',                    200001, false, 2.5,   NULL, 15,   'list price 2026-11-20; cache unknown'),
  ('gemini',  'gemini-2.5-flash',                       0, false, 0.3,   0.03, 2.5,  NULL),
  ('gemini',  'gemini-2.5-flash-lite',                  0, false, 0.1,   0.01, 0.4,  NULL),
  ('gemini',  'gemini-3.5-flash',                       0, false, 1.5,   0.15, 9,    NULL),
  ('gemini',  'gemini-3.5-flash-lite',                  0, false, 0.3,   0.03, 2.5,  NULL),
  ('gemini',  'gemini-3.6-flash gemini-3.7-flash gemini-3.8-flash', 0, false, 0.75, 0.075, 3.75, NULL),
  ('gemini',  'gemini-3.1-pro-preview',                 0, false, 2,     0.2,  12,   NULL),
  ('gemini',  'gemini-3.1-pro-preview',            200001, false, 4,     NULL, 18,   'list price 2026-11-20; cache unknown'),
  ('gemini',  'gemini-4-argon',                         0, false, 2,     0.1,  10,   NULL),
  ('gemini',  'gemini-embedding-001',                   0, false, 0.15,  NULL, NULL, NULL),
  ('gemini',  'gemini-embedding-2',                     0, false, 0.2,   NULL, NULL, NULL),
  ('mistral', 'mistral-large-latest mistral-large-3',   0, false, 0.5,   0.05, 1.5,  'of large-3; the alias can move'),
  ('mistral', 'mistral-large-4',                        0, false, 1.36,  0.14, 4.18, 'half of it until October 2026'),
  ('mistral', 'mistral-medium-3.5',                     0, false, 1.5,   0.15, 7.5,  NULL),
  ('mistral', 'mistral-small',                          0, false, 0.15, 0.015, 0.6,  NULL),
  ('mistral', 'codestral',                              0, false, 0.3,   0.03, 0.9,  NULL),
  ('mistral', 'ministral-8b',                           0, false, 0.15,  NULL, 0.15, NULL),
  ('mistral', 'mistral-embed',                          0, false, 0.1,   NULL, NULL, NULL),
  ('mistral', 'codestral-embed',                        0, false, 0.15,  NULL, NULL, NULL)
)
INSERT INTO llm_prices (provider, model, valid_from, min_prompt_tokens, batch, input_usd_per_mtok, cache_read_usd_per_mtok,
                        output_usd_per_mtok, source)
SELECT provider, model, '2025-01-01 00:00:00+00', min_prompt_tokens, batch, trim_scale(input), trim_scale(cache_read),
       trim_scale(output), coalesce(source, 'list price 2026-11-20, litellm 1.109.1')
FROM price CROSS JOIN unnest(string_to_array(models, ' ')) AS model
ORDER BY provider, model, min_prompt_tokens, batch
ON CONFLICT DO NOTHING;
