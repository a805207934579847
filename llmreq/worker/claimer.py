"""Claims what can be sent now, and no more: nothing is prefetched, so nothing waits in a worker that may die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import psycopg
import structlog

from llmreq.limits import CLAIM_STOP_SECONDS
from llmreq.worker import engine
from llmreq.worker.caller import Caller
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop
from llmreq.worker.settler import Settler

log = structlog.get_logger()

UNSETTLED_FREE = 1000
"""Reports that may wait for Postgres before each one takes a call's slot: the back-pressure of a database that is away."""


DOUBT_SECONDS = 20.0
"""How long after a broken claim there may be claims of ours that we have not heard of."""


@dataclass
class Claimer:
    """Polls every `poll_seconds`; at once again while the last batch was full and slots are free."""

    link: Link
    worker_id: Callable[[], int]
    caller: Caller
    settler: Settler
    poll_seconds: float
    batch_size: int
    concurrency: int
    tells_idle: Callable[[], bool] = lambda: False
    may_claim: Callable[[], bool] = lambda: True
    idle: bool = False
    _told_idle: bool | None = None
    _hungry: bool = False
    _look_at: float = float("inf")
    _doubt_ends: float = 0.0
    _unread: list[engine.Taken] = field(default_factory=list)
    _unpriced: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._loop = Loop("claimer", self._turn)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop(patience_seconds=CLAIM_STOP_SECONDS)
        await self.link.close()

    def ring(self) -> None:
        """New work was heard of: look at once."""
        self._loop.wake()

    def slot_freed(self) -> None:
        """A call ended. While the queue is known to hold more, the poll need not be waited for."""
        if self._hungry and self._free() >= min(self.batch_size, max(1, self.concurrency // 16)):
            self._loop.wake()

    def _free(self) -> int:
        unsettled = max(0, self.settler.backlog - UNSETTLED_FREE)
        return self.concurrency - self.caller.in_flight - unsettled

    async def _turn(self) -> float:
        began = monotonic()
        if not self.may_claim():
            return self.poll_seconds
        wanted = min(self.batch_size, self._free())
        if wanted <= 0:
            return self.poll_seconds
        try:
            async with self.link.use() as connection:
                if monotonic() >= self._look_at:
                    self._unread = await self._found(connection)
                taken = await engine.claim(connection, self.worker_id(), wanted)
                self._unread += taken
                for claim in await engine.read(connection, self._unread) if self._unread else ():
                    self.caller.start(claim)
                self._unread.clear()
                if self.tells_idle():
                    await self._tell(connection, full=len(taken) == wanted, empty=not taken)
        except psycopg.Error as error:
            if error.sqlstate != engine.FENCED:
                self._look_at, self._doubt_ends = 0.0, monotonic() + DOUBT_SECONDS
                raise
            # The heart learns the same and comes back with a new identity; until then there is nothing to claim.
            self._unread.clear()
            self._told_idle = None
            return self.poll_seconds
        self._warn_unpriced(taken)
        self._hungry = len(taken) == wanted
        self.idle = not taken
        if self._hungry and self._free() > 0:
            return 0.0
        # From poll to poll, whatever one takes.
        return max(self.poll_seconds / 2, self.poll_seconds - (monotonic() - began))

    async def _found(self, connection: psycopg.AsyncConnection[Any]) -> list[engine.Taken]:
        """Claims of ours that nobody is calling: the connection broke after Postgres made them and before we heard of it.

        No rescue would come for them while this worker lives (invariant 8).
        """
        known = self.caller.ids | self.settler.ids
        held = await engine.my_claims(connection, self.worker_id())
        known |= self.caller.ids | self.settler.ids
        # Looked for again for a while: Postgres may end a claim after its connection broke.
        self._look_at = monotonic() + 5.0 if monotonic() < self._doubt_ends else float("inf")
        return [claim for claim in held if claim.id not in known]

    async def _tell(self, connection: psycopg.AsyncConnection[Any], *, full: bool, empty: bool) -> None:
        """Idle from an empty poll to a full one: a trickle of requests does not write the worker's row for each."""
        if (full or empty) and self._told_idle is not empty:
            await engine.set_idle(connection, self.worker_id(), empty)
            self._told_idle = empty

    def _warn_unpriced(self, taken: list[engine.Taken]) -> None:
        # Loud, but once a model: an unknown price is never booked as 0 (invariant 5).
        for lane in {each.lane for each in taken if not each.priced} - self._unpriced:
            self._unpriced.add(lane)
            log.warning("unpriced", lane=lane, hint="its cost will be NULL: add a row to llm_prices")
