SELECT x AS name FROM llmreq_drop_partitions((llmreq_now() AT TIME ZONE 'UTC')::date - %(days)s::integer, %(dry_run)s) x
