SELECT id FROM llm_requests WHERE right(replace(id::text, '-', ''), %(length)s) = %(suffix)s LIMIT 2
