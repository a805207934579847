SELECT id FROM llm_budgets WHERE scope = %(scope)s AND subject = %(subject)s AND period = %(period)s
