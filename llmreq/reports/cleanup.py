"""Retention by hand: what a worker does once a day by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from llmreq.database.ask import ask
from llmreq.limits import CLEANUP_BATCH


@dataclass(frozen=True, slots=True)
class Gone:
    """Requests deleted, and the ledger's partitions dropped; or what would be."""

    requests: int
    partitions: list[str]


def cleanup(connection: psycopg.Connection[Any], days: int, *, dry_run: bool) -> Gone:
    """Forget what ended more than `days` ago, in small transactions. Open requests and the daily usage stay."""
    partitions = [row["name"] for row in ask(connection, "drop_partitions", days=days, dry_run=dry_run)]
    total = 0
    while True:
        (row,) = ask(connection, "forget_requests", days=days, limit=CLEANUP_BATCH, dry_run=dry_run)
        total += row["requests"]
        if dry_run or row["requests"] < CLEANUP_BATCH:
            return Gone(total, partitions)
