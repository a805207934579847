"""The chores any worker does for the whole fleet: rescue, expiry, saying why rows wait, partitions ahead of time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

import structlog

from llmreq.worker import engine
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop

log = structlog.get_logger()

TURN_SECONDS = 1.0


@dataclass
class Keeper:
    """Each chore has its period in seconds; a turn runs those that are due. More than one worker at a time is harmless."""

    link: Link
    lease_seconds: float
    stuck: Callable[[engine.Left], None] = lambda _left: None
    _due: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._loop = Loop("keeper", self._turn)
        self._periods = {
            "expire": 1.0,
            "explain_waiting": 1.0,
            "rescue": max(0.5, self.lease_seconds / 5),
            "sweep_orphans": max(5.0, self.lease_seconds * 4),
            "tidy": 60.0,
            "ensure_partitions": 3600.0,
        }

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()
        await self.link.close()

    async def _turn(self) -> float:
        for chore, period in self._periods.items():
            if monotonic() < self._due.get(chore, 0.0):
                continue
            async with self.link.use() as connection:
                done = await engine.housekeep(connection, chore)
            # Workers spread out, so that a fleet does not do the same chore at the same instant.
            self._due[chore] = monotonic() + period * random.uniform(0.8, 1.2)  # noqa: S311
            if done and chore in ("rescue", "sweep_orphans"):
                log.warning("requests_rescued", count=done, chore=chore)
        return TURN_SECONDS
