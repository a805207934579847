"""The lanes at a glance: how deep, what of it waits and why, which are closed, which have no price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from llmreq.database.ask import Row, ask
from llmreq.database.page import Page

_TOPICS: Mapping[str, Mapping[str, str]] = {
    "queue": {"lane": "lane", "status": "word", "requests": "requests", "oldest_seconds": "oldest_seconds"},
    "waiting": {
        "lane": "lane",
        "reason": "word",
        "message": "message",
        "requests": "requests",
        "due": "due",
        "until": "until",
        "oldest_seconds": "oldest_seconds",
    },
    "blocked": {
        "lane": "lane",
        "state": "word",
        "blocked_until": "until",
        "block_message": "message",
        "pending": "requests",
        "in_flight": "in_flight",
        "max_in_flight": "max_in_flight",
    },
    "unpriced": {"lane": "lane", "unpriced_calls": "requests"},
}
"""Which column of lane_overview.sql holds which of a topic's."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """Pages by topic, those that matter most first. `open`: requests by status."""

    open: dict[str, int]
    queue: Page
    waiting: Page
    blocked: Page
    unpriced: Page


def read_lanes(connection: psycopg.Connection[Any], limit: int) -> Lanes:
    """One look at all lanes; at most `limit` rows of each topic."""
    found = ask(connection, "lane_overview", limit=limit)
    return Lanes(
        open={row["word"]: row["requests"] for row in found if row["topic"] == "open"},
        **{
            topic: _page([row for row in found if row["topic"] == topic], columns, limit)
            for topic, columns in _TOPICS.items()
        },
    )


def _page(found: list[Row], columns: Mapping[str, str], limit: int) -> Page:
    # A lane whose head turned out to have no reason does not wait.
    rows = [row for row in found if row["topic"] != "waiting" or row["word"] is not None]
    rows.sort(key=lambda row: row["requests"], reverse=True)
    total = max((row["total"] for row in found), default=0) - (len(found) - len(rows))
    shown = [{name: row[column] for name, column in columns.items()} for row in rows[:limit]]
    return Page(shown, total - len(shown))
