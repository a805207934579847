"""Hears of new work between polls, where LISTEN works; the poll is what counts on (sql/functions/doorbell.sql)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from llmreq.worker import engine
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop

log = structlog.get_logger()

LOOK_SECONDS = 60.0
"""How often a worker without a bell looks whether there is one now."""


@dataclass
class Doorbell:
    """Calls `ring` at each notification. `present` is whether this database has a bell."""

    link: Link
    ring: Callable[[], None]
    present: bool = False

    def __post_init__(self) -> None:
        self._loop = Loop("doorbell", self._turn)
        self._stopping = False

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        self._stopping = True
        await self._loop.stop()
        await self.link.close()

    async def _turn(self) -> float:
        async with self.link.use() as connection:
            self.present = await engine.has_doorbell(connection)
            if not self.present:
                return LOOK_SECONDS
            await connection.execute("LISTEN llmreq_doorbell")
            while not self._stopping:
                # In turns of a second, so that a stop is noticed.
                async for _ in connection.notifies(timeout=1.0):
                    self.ring()
        return 0.0
