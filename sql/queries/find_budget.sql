SELECT id, period FROM llm_budgets
WHERE scope = %(scope)s AND subject = %(subject)s AND (%(period)s::text IS NULL OR period = %(period)s)
ORDER BY period
