-- For the present transaction only.
SELECT set_config(name, value, true) FROM unnest(%(names)s::text[], %(values)s::text[]) AS pinned (name, value)
