INSERT INTO llm_agents (tenant_id, name, description, system_prompt, output_schema, task_type, provider, model, quality, params, chunk_tokens,
                        overlap_tokens, chunk_by, merge_strategy, execution, on_page_failure, context_tokens, on_overflow, max_output_tokens)
VALUES (%(tenant_id)s, %(name)s, %(description)s, %(system_prompt)s, %(output_schema)s::jsonb, %(task_type)s, %(provider)s, %(model)s,
        %(quality)s, %(params)s::jsonb, %(chunk_tokens)s, %(overlap_tokens)s, %(chunk_by)s, %(merge_strategy)s, %(execution)s,
        %(on_page_failure)s, %(context_tokens)s, %(on_overflow)s, %(max_output_tokens)s)
RETURNING *
