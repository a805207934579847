SELECT llmreq_forget_requests(llmreq_now() - make_interval(days => %(days)s), %(limit)s::integer, %(dry_run)s) AS requests
