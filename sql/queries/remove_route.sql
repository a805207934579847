DELETE FROM llm_routes WHERE id = %(id)s RETURNING id
