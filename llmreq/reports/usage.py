"""What was used and what it cost, by model, operation, agent, tenant, run or day: from the daily rollup."""

from __future__ import annotations

from typing import Any

import psycopg

from llmreq.database.ask import Row, ask

BY = ("model", "operation", "agent", "tenant", "run", "day")
"""What usage can be told by; an operation is a task_type."""


def usage_by(connection: psycopg.Connection[Any], by: str, days: int) -> list[Row]:
    """Sums of the last `days` UTC days, today included, one row a name, dearest first (days in order).

    `cost_usd` is what is known; `unpriced_calls` cost beyond it nobody knows what. `failed_usd` and `upper_bound_usd`
    (lost calls) are parts of it. `estimate_error` is a share of the tokens that were estimated.
    """
    return ask(connection, "usage", by=by, days=days)


def usage_total(connection: psycopg.Connection[Any], days: int) -> Row:
    """The sums over everything."""
    rows = ask(connection, "usage", by="all", days=days)
    if rows:
        return rows[0]
    counts = ("calls", "total_tokens", "failed_calls", "lost_calls", "unpriced_calls", "unpriced_tokens")
    return {**dict.fromkeys(counts, 0), **dict.fromkeys(("cost_usd", "failed_usd", "upper_bound_usd"), 0)}
