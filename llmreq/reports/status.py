"""The fleet at a glance: what waits and why, who works, what is blocked, unpriced and spent."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg

from llmreq.database.ask import Row, ask
from llmreq.database.page import Page, ask_page
from llmreq.reports.lanes import read_lanes


@dataclass(frozen=True, slots=True)
class Status:
    """Rows by topic, those that matter most first; `more` counts what was left out of each topic.

    `open`: requests by status. `unpriced`: lanes whose calls cost nobody knows what (invariant 5). `spend_usd`: dollars of
    the present UTC day, None when a call of it has no price; `known_usd`: those that are known, upper bounds included.
    """

    open: dict[str, int]
    queue: list[Row]
    waiting: list[Row]
    workers: list[Row]
    blocked: list[Row]
    unpriced: list[Row]
    spend: list[Row]
    budgets: list[Row]
    spend_usd: Decimal | None
    known_usd: Decimal
    more: dict[str, int] = field(default_factory=dict)


def read_status(connection: psycopg.Connection[Any], limit: int) -> Status:
    """Look at everything once; at most `limit` rows of each topic. Each topic is of its own instant."""
    with connection.transaction():
        ask(connection, "wide_look")
        lanes = read_lanes(connection, limit)
        workers = ask_page(connection, "workers", limit=limit)
        budgets = ask_page(connection, "list_budgets", id=None, by_use=True, limit=limit)
        spent = ask(connection, "spend_today", limit=limit)
    day = dict(spent[0])  # which carries the sums
    rows = [
        {name: value for name, value in row.items() if name not in ("total", "day_usd", "day_known_usd")}
        for row in spent
        if row["lane"] is not None
    ]
    pages = {
        "queue": lanes.queue,
        "waiting": lanes.waiting,
        "workers": workers,
        "blocked": lanes.blocked,
        "unpriced": lanes.unpriced,
        "spend": Page(rows, day["total"] - len(rows)),
        "budgets": budgets,
    }
    return Status(
        open=lanes.open,
        **{name: page.rows for name, page in pages.items()},
        spend_usd=day["day_usd"],
        known_usd=day["day_known_usd"],
        more={name: page.more for name, page in pages.items() if page.more},
    )
