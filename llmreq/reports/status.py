"""The fleet at a glance: what waits and why, who works, what is blocked, unpriced and spent."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


def read_status(connecting: Callable[[], psycopg.Connection[Any]], limit: int) -> Status:
    """Look at everything once; at most `limit` rows of each topic. Each topic is of its own instant.

    The lanes on one connection, the books on another: with a hundred thousand lanes and budgets both take half a second.
    """
    with ThreadPoolExecutor(1) as beside:
        books = beside.submit(_read_books, connecting, limit)
        with connecting() as connection, connection.transaction():
            ask(connection, "wide_look")
            lanes = read_lanes(connection, limit)
    workers, budgets, spent = books.result()
    day = spent.rows[0]  # which carries the sums
    rows = [
        {name: value for name, value in row.items() if name not in ("day_usd", "day_known_usd")}
        for row in spent.rows
        if row["lane"] is not None
    ]
    pages = {
        "queue": lanes.queue,
        "waiting": lanes.waiting,
        "workers": workers,
        "blocked": lanes.blocked,
        "unpriced": lanes.unpriced,
        "spend": Page(rows, spent.more if rows else 0),
        "budgets": budgets,
    }
    return Status(
        open=lanes.open,
        **{name: page.rows for name, page in pages.items()},
        spend_usd=day["day_usd"],
        known_usd=day["day_known_usd"],
        more={name: page.more for name, page in pages.items() if page.more},
    )


def _read_books(connecting: Callable[[], psycopg.Connection[Any]], limit: int) -> tuple[Page, Page, Page]:
    """Who works, what budgets there are, what today costs."""
    with connecting() as connection, connection.transaction():
        ask(connection, "wide_look")
        return (
            ask_page(connection, "workers", limit=limit),
            ask_page(connection, "list_budgets", id=None, by_use=True, limit=limit),
            ask_page(connection, "spend_today", limit=limit),
        )
