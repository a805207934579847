-- llmreq_media(messages) → (images, data_bytes: how long their base64 is, unbounded: the first kind of block whose tokens nobody can bound)
-- What stands in a question beside text, at any depth (a tool's result may hold images). An image has a bound per vendor
-- (llmreq_image_tokens), whatever its data's length; a file, a recording or a film has none.
CREATE OR REPLACE FUNCTION llmreq_media(p_messages jsonb, OUT images integer, OUT data_bytes bigint, OUT unbounded text)
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
  SELECT count(*) FILTER (WHERE b.kind IN ('image_url', 'input_image', 'image')),
         coalesce(sum(octet_length(coalesce(b.block #>> '{source,data}',
                                            CASE WHEN b.url LIKE 'data:%' THEN b.url END)))
                  FILTER (WHERE b.kind IN ('image_url', 'input_image', 'image')), 0),
         min(b.kind) FILTER (WHERE b.kind NOT IN ('image_url', 'input_image', 'image'))
  INTO images, data_bytes, unbounded
  FROM (
    SELECT x AS block, x ->> 'type' AS kind, coalesce(x #>> '{image_url,url}', x ->> 'image_url', x #>> '{source,url}') AS url
    FROM jsonb_path_query(p_messages, 'strict $.** ? (@.type() == "object" && @.type.type() == "string")', silent => true) x
  ) b
  WHERE b.kind IN ('image_url', 'input_image', 'image', 'file', 'input_file', 'input_audio', 'audio', 'audio_url', 'video', 'video_url',
                   'input_video', 'container_upload')
     OR b.kind = 'document' AND coalesce(b.block #>> '{source,type}', '') <> 'text';
END
$$;

-- llmreq_unbounded_param(params, tools) → the first thing in them whose cost nobody can bound: what the provider itself fetches, makes or
-- bills by another measure than tokens
CREATE OR REPLACE FUNCTION llmreq_unbounded_param(p_params jsonb, p_tools jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
  IF p_params IS NULL AND p_tools IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN coalesce(
    (SELECT 'params.' || k FROM unnest('{web_search_options,plugins,audio,mcp_servers,container,context_management,previous_response_id,
                                         conversation,prompt,file_ids,tool_resources,extra_body,tools,models,route}'::text[]) k
     WHERE p_params ? k LIMIT 1),
    (SELECT 'params.modalities' WHERE p_params -> 'modalities' ?| '{audio,image,video}'),
    (SELECT 'params.speed' WHERE p_params ->> 'speed' NOT IN ('standard', 'default')),
    (SELECT 'params.inference_geo' WHERE p_params ->> 'inference_geo' NOT IN ('global', 'default')),
    (SELECT 'the tool ' || coalesce(t ->> 'name', t ->> 'type')
     FROM jsonb_array_elements(CASE WHEN jsonb_typeof(p_tools) = 'array' THEN p_tools ELSE '[]' END) t
     WHERE jsonb_typeof(t -> 'type') = 'string' AND t ->> 'type' NOT IN ('function', 'custom') LIMIT 1));
END
$$;

-- llmreq_choices(params) → how many answers one call asks for, each up to the output cap
CREATE OR REPLACE FUNCTION llmreq_choices(p_params jsonb) RETURNS integer
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
  RETURN coalesce(greatest(
    CASE WHEN jsonb_typeof(p_params -> 'n') = 'number' THEN least(greatest((p_params ->> 'n')::numeric, 1), 1000)::integer END,
    CASE WHEN jsonb_typeof(p_params -> 'best_of') = 'number' THEN least(greatest((p_params ->> 'best_of')::numeric, 1), 1000)::integer END), 1);
END
$$;

-- llmreq_image_tokens(provider, model) → the most tokens one image is billed at; NULL where nobody says (docs/providers.md)
-- OpenAI: gpt-4o-mini counts 2,833 and 5,667 a tile, 8 tiles at most; the others 10,000 patches times at most 2.46. Anthropic: 4,784
-- for the models of high resolution. At any detail: `auto` is the vendor's choice.
CREATE OR REPLACE FUNCTION llmreq_image_tokens(p_provider text, p_model text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE WHEN p_provider = 'openai' AND p_model LIKE 'gpt-4o-mini%' THEN 48169
              WHEN p_provider = 'openai' THEN 24600
              WHEN p_provider = 'anthropic' THEN 4800
              WHEN p_provider = 'local' AND p_model IN ('rules', 'pages') THEN 0 END
$$;
