"""The chores any worker does for the whole fleet: rescue, expiry, saying why rows wait, events, partitions, retention.

Each chore is a loop of its own: one that raises or hangs is logged and tried again later, and no other waits for it
(invariant 11). They share two connections, because a server has few to give and a chore needs milliseconds: the quick ones
take turns on one, those that may take long on the other. A turn is bounded by the chore's own deadline.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic

import structlog

from llmreq.limits import CHORE_LONGEST_PAUSE_SECONDS, CHORE_SILENCE_SECONDS
from llmreq.worker import engine
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop
from llmreq.worker.retention import Retention

log = structlog.get_logger()

GATE_SECONDS = 0.5
"""How often a chore that may not run now looks whether it may again."""

TICK_SECONDS = 0.5
"""Chores begin at multiples of this after the worker's start."""


@dataclass(frozen=True, slots=True)
class Chore:
    """What is done how often. `slow`: it may take long, and waits for others that do."""

    name: str
    period_seconds: float
    slow: bool = False

    @property
    def silence_seconds(self) -> float:
        return CHORE_SILENCE_SECONDS[self.name]


def chores(lease_seconds: float) -> tuple[Chore, ...]:
    """All of them. More than one worker at a time is harmless."""
    return (
        Chore("rescue", max(0.5, lease_seconds / 5)),
        Chore("expire", 2.0),
        Chore("events", 3.0),
        Chore("sweep_pages", 2.0),
        Chore("sweep_lanes", 1.5),  # whose turn it is among workers the function decides
        Chore("explain_waiting", 1.5, slow=True),
        Chore("sweep_orphans", max(5.0, lease_seconds * 4), slow=True),
        Chore("learn", 30.0, slow=True),
        Chore("tidy", 60.0, slow=True),
        Chore("retention", 3600.0, slow=True),
        Chore("ensure_partitions", 3600.0, slow=True),
    )


class Keeper:
    """Runs the chores. `may_run(chore's name)` is asked before each turn."""

    def __init__(
        self,
        quick: Link,
        slow: Link,
        lease_seconds: float,
        retention_days: int,
        may_run: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._links = (quick, slow)
        self._retention = Retention(slow, retention_days, CHORE_SILENCE_SECONDS["retention"])
        self._may_run = may_run
        self._began_at = monotonic()
        self._loops = [
            Loop(each.name, partial(self._turn, each), longest_pause_seconds=CHORE_LONGEST_PAUSE_SECONDS)
            for each in chores(lease_seconds)
        ]

    def start(self) -> None:
        for loop in self._loops:
            loop.start()

    def retry(self) -> None:
        """The database is back: try again now what failed."""
        for loop in self._loops:
            loop.retry()

    async def stop(self) -> None:
        await asyncio.gather(*(loop.stop() for loop in self._loops))
        for link in self._links:
            await link.close()

    async def _turn(self, chore: Chore) -> float:
        if not self._may_run(chore.name):
            return GATE_SECONDS
        if chore.name == "retention":
            await self._retention.run()
        else:
            await self._do(chore)
        # Workers spread out, so that a fleet does not do the same chore at the same instant.
        return self._until_tick(chore.period_seconds * random.uniform(0.8, 1.2))  # noqa: S311

    def _until_tick(self, seconds: float) -> float:
        """Of one worker, chores wake together: to wake costs an idle process more than what most of them do."""
        now = monotonic() - self._began_at
        return math.ceil((now + seconds) / TICK_SECONDS) * TICK_SECONDS - now

    async def _do(self, chore: Chore) -> None:
        async with self._links[chore.slow].use(chore.silence_seconds) as connection:
            if chore.name == "events":
                for event in await engine.announce_events(connection):
                    # "event" is structlog's own name for the line.
                    log.warning(event["kind"], subject=event["subject"], message=event["message"])
                return
            done = await engine.housekeep(connection, chore.name)
        if done and chore.name in ("rescue", "sweep_orphans"):
            log.warning("requests_rescued", count=done, chore=chore.name)
