"""Hears of new work between polls, where LISTEN works; the poll is what counts on (sql/functions/doorbell.sql)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog

from llmreq.worker import engine
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop

log = structlog.get_logger()

LOOK_SECONDS = 60.0
"""How often a worker without a bell looks whether there is one now, and one with a bell whether its connection still lives."""

LISTEN_SECONDS = 5.0
"""How long one wait for notifications lasts; shorter than what counts as silence."""


@dataclass
class Doorbell:
    """Calls `ring` at each notification. `present` is whether this database has a bell."""

    link: Link
    ring: Callable[[], None]
    present: bool = False
    _listening: psycopg.AsyncConnection[Any] | None = None
    _looks_left: int = 0

    def __post_init__(self) -> None:
        self._loop = Loop("doorbell", self._turn)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop(patience_seconds=0)  # nothing is lost by what it does not hear
        await self.link.close()

    async def _turn(self) -> float:
        async with self.link.use() as connection:
            if connection is not self._listening or not self._looks_left:
                self.present = await engine.has_doorbell(connection)
                self._looks_left = int(LOOK_SECONDS / LISTEN_SECONDS)
            if self.present and connection is not self._listening:
                await connection.execute("LISTEN llmreq_doorbell")
                self._listening = connection
            if self.present:
                self._looks_left -= 1
                async for _ in connection.notifies(timeout=LISTEN_SECONDS):
                    self.ring()
        if self.present:
            return 0.0
        self._listening = None
        await self.link.close()  # a connection is dear, and a minute long
        return LOOK_SECONDS
