SELECT tenant_id, weight, paused FROM llm_tenants ORDER BY tenant_id
