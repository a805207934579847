-- The first few lanes of each provider with pending requests, and how many there are.
SELECT split_part(d.lane, '/', 1) AS provider, (array_agg(d.lane ORDER BY d.lane COLLATE "C"))[1:5] AS lanes, count(*) AS lane_count
FROM llmreq_lane_depth d
WHERE d.pending > 0 AND d.lane IS NOT NULL
GROUP BY 1
