"""The chores any worker does for the whole fleet: rescue, expiry, saying why rows wait, events, partitions, retention."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import psycopg
import structlog

from llmreq.worker import engine
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop
from llmreq.worker.retention import nightly_cleanup

log = structlog.get_logger()

TURN_SECONDS = 1.0


@dataclass
class Keeper:
    """Each chore has its period in seconds; a turn runs those that are due. More than one worker at a time is harmless."""

    link: Link
    lease_seconds: float
    retention_days: int
    _due: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._loop = Loop("keeper", self._turn)
        self._periods = {
            "expire": 1.0,
            "explain_waiting": 1.0,
            "rescue": max(0.5, self.lease_seconds / 5),
            "sweep_orphans": max(5.0, self.lease_seconds * 4),
            "tidy": 60.0,
            "learn": 30.0,
            "sweep_pages": 2.0,
            "sweep_lanes": 1.0,
            "events": 1.0,
            "retention": 3600.0,
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
                done = await self._do(chore, connection)
            # Workers spread out, so that a fleet does not do the same chore at the same instant.
            self._due[chore] = monotonic() + period * random.uniform(0.8, 1.2)  # noqa: S311
            if done and chore in ("rescue", "sweep_orphans"):
                log.warning("requests_rescued", count=done, chore=chore)
        return TURN_SECONDS

    async def _do(self, chore: str, connection: psycopg.AsyncConnection[Any]) -> int:
        match chore:
            case "events":
                events = await engine.announce_events(connection)
                for event in events:
                    # "event" is structlog's own name for the line.
                    log.warning(event["kind"], subject=event["subject"], message=event["message"])
                return len(events)
            case "retention":
                return await nightly_cleanup(connection, self.retention_days)
            case _:
                return await engine.housekeep(connection, chore)
