"""The worker's nightly turn of `llmreq cleanup`: once a UTC day for the whole fleet, in small batches off the hot path."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog

from llmreq.database.statements import statement
from llmreq.limits import CLEANUP_BATCH
from llmreq.worker.link import Link

log = structlog.get_logger()

PAUSE_SECONDS = 0.2
"""Between batches, so that retention never takes more than a part of one connection."""


@dataclass
class Retention:
    """Forgets what is older than `days`. Each statement is a use of the connection of its own, so that other chores have
    their turn in between. What failed is tried again by the worker whose turn it was."""

    link: Link
    days: int
    silence_seconds: float
    _my_turn: bool = False

    async def run(self) -> None:
        """Nothing, if another worker has begun to today."""
        self._my_turn = self._my_turn or await self._ask("take_cleanup_turn") != []
        if not self._my_turn:
            return
        try:
            requests = await self._forget_requests()
        finally:  # the ledger's days go even where the requests cannot
            partitions = await self._ask("drop_partitions", **self._window)
        self._my_turn = False
        log.info("retention", days=self.days, requests=requests, partitions=len(partitions))

    async def _forget_requests(self) -> int:
        total, deleted = 0, CLEANUP_BATCH
        while deleted == CLEANUP_BATCH:
            if total:
                await asyncio.sleep(PAUSE_SECONDS)
            ((deleted,),) = await self._ask("forget_requests", **self._window, limit=CLEANUP_BATCH)
            total += deleted
        return total

    @property
    def _window(self) -> dict[str, Any]:
        return {"days": self.days, "dry_run": False}

    async def _ask(self, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        async with self.link.use(self.silence_seconds) as connection:
            return await (await connection.execute(statement(name), parameters)).fetchall()
