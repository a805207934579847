SELECT split_part(p.lane, '/', 1) AS provider, array_agg(p.lane ORDER BY p.lane) AS lanes FROM llmreq_pending_lanes() p GROUP BY 1
