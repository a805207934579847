-- Paused ones first where there are more than `limit`, then the heaviest. total counts them all.
SELECT t.tenant_id, t.weight, t.paused, t.total
FROM (
  SELECT x.tenant_id, x.weight, x.paused, (SELECT count(*) FROM llm_tenants) AS total FROM llm_tenants x
  ORDER BY x.paused DESC, x.weight DESC, x.tenant_id LIMIT %(limit)s
) t
ORDER BY t.tenant_id
