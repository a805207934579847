"""The fleet at a glance: what waits and why, who works, what is blocked, unpriced and spent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg

from llmreq.database.ask import Row, ask


@dataclass(frozen=True, slots=True)
class Status:
    """Rows of the views, by topic. `unpriced`: lanes whose calls cost nobody knows what (invariant 5)."""

    queue: list[Row]
    waiting: list[Row]
    workers: list[Row]
    blocked: list[Row]
    unpriced: list[Row]
    spend: list[Row]
    budgets: list[Row]

    @property
    def spend_usd(self) -> Decimal | None:
        """Dollars of the present UTC day; None when a call of it has no price."""
        costs = [row["cost_usd"] for row in self.spend]
        return None if None in costs else sum(costs, Decimal(0))

    @property
    def known_usd(self) -> Decimal:
        """Dollars of the present UTC day that are known, upper bounds included."""
        return sum((row["metered_usd"] + row["upper_bound_usd"] for row in self.spend), Decimal(0))


def read_status(connection: psycopg.Connection[Any]) -> Status:
    """Ask the views. In autocommit each topic is of its own instant."""
    lanes = ask(connection, "lanes")
    return Status(
        queue=ask(connection, "queue_depth"),
        waiting=[row for row in ask(connection, "waiting") if row["reason"] is not None],
        workers=ask(connection, "workers"),
        blocked=[
            row for row in lanes if row["state"] in ("paused", "rate_limit", "provider_down", "probing")
        ],
        unpriced=ask(connection, "unpriced_lanes"),
        spend=ask(connection, "spend_today"),
        budgets=ask(connection, "list_budgets", id=None),
    )
