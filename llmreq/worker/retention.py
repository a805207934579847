"""The worker's nightly turn of `llmreq cleanup`: once a UTC day for the whole fleet, in small batches off the hot path."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import structlog

from llmreq.database.statements import statement
from llmreq.limits import CLEANUP_BATCH

log = structlog.get_logger()

PAUSE_SECONDS = 0.2
"""Between batches, so that retention never takes more than a part of one connection."""


async def nightly_cleanup(connection: psycopg.AsyncConnection[Any], days: int) -> int:
    """Forget what is older than `days`, if no worker has begun to today; returns requests deleted."""
    turn = await (await connection.execute(statement("take_cleanup_turn"))).fetchone()
    if turn is None:
        return 0
    partitions = await (await connection.execute(statement("drop_partitions"), _window(days))).fetchall()
    total = 0
    while True:
        row = await (
            await connection.execute(statement("forget_requests"), {**_window(days), "limit": CLEANUP_BATCH})
        ).fetchone()
        deleted = int(row[0]) if row else 0
        total += deleted
        if deleted < CLEANUP_BATCH:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    log.info("retention", days=days, requests=total, partitions=len(partitions))
    return total


def _window(days: int) -> dict[str, Any]:
    return {"days": days, "dry_run": False}
