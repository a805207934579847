"""Writes outcomes back in batches, and holds them while Postgres is away: no paid answer is dropped (invariant 3).

`Backlog` decides what goes when; here it is sent, and what Postgres answers is told to the backlog. An outcome that fails
its batch is found by halving; alone and still refused, it is booked without its answer; and if even that is refused it is
parked, so that one bad outcome stops nothing (invariant 11).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
import structlog

from llmreq.limits import BROKEN_TRIES, REFUSED_IN_A_ROW, SETTLE_BATCH, TRANSIENT_TRIES
from llmreq.worker import engine
from llmreq.worker.backlog import Backlog, Batch, Hold, Key
from llmreq.worker.describe import describe
from llmreq.worker.fault import Fault, fault_of
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop
from llmreq.worker.report import Report

log = structlog.get_logger()

IDLE_SECONDS = 3600.0

Connection = psycopg.AsyncConnection[Any]


class RefusedInARowError(Exception):
    """So many outcomes in a row were refused that the cause is hardly theirs: the completer pauses."""


class Fate(Enum):
    """What became of an outcome that somebody else keeps too."""

    BOOKED = auto()
    REFUSED = auto()


@dataclass
class Settler:
    """Takes reports from callers, settles them every `flush_seconds` or at 200, and keeps each until it is acknowledged."""

    link: Link
    worker_id: Callable[[], int]
    flush_seconds: float
    _backlog: Backlog = field(default_factory=Backlog)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _fates: dict[Key, asyncio.Future[Fate]] = field(default_factory=dict)
    _refused_in_a_row: int = 0
    _head_start_until: float = 0.0

    def __post_init__(self) -> None:
        self._loop = Loop("settler", self._turn)

    def start(self) -> None:
        self._loop.start()

    def retry(self) -> None:
        """The database is back: try again now."""
        self._loop.retry()

    def put(self, report: Report) -> None:
        """Take one call's report. Never blocks: the claimer claims less while many wait (see `backlog`)."""
        self._backlog.put(report)
        self._loop.wake()

    def book(self, report: Report) -> asyncio.Future[Fate]:
        """Like `put`, for a report that its caller keeps until the future says what became of it. What Postgres refuses even
        without its answer is given back to the caller, not parked."""
        key = (report.id, report.claim_seq)
        fate = self._fates.get(key)
        if fate is None or fate.cancelled():
            fate = self._fates[key] = asyncio.get_running_loop().create_future()
        self.put(report)
        return fate

    @property
    def backlog(self) -> int:
        """Reports not yet acknowledged by Postgres, parked ones included."""
        return len(self._backlog)

    @property
    def backlog_bytes(self) -> int:
        return self._backlog.size_bytes

    @property
    def unsettled(self) -> list[Report]:
        """What Postgres has not acknowledged, and nobody else keeps: it belongs on disk when the worker ends."""
        return [each for each in self._backlog.reports if (each.id, each.claim_seq) not in self._fates]

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits but what Postgres refuses."""
        return self.refused == self.backlog

    @property
    def refused(self) -> int:
        """Reports parked because Postgres refuses them, even without their answers."""
        return self._backlog.parked(Hold.REFUSED)

    @property
    def claims(self) -> set[Key]:
        """Claims whose reports wait."""
        return self._backlog.keys

    @property
    def is_behind(self) -> bool:
        """Whether claims should wait: outcomes that met a failure of the database, or were spooled by an earlier worker, are
        neither settled nor parked yet. A rescue that came first would have their calls bought again."""
        return self._backlog.is_behind or monotonic() < self._head_start_until

    def give_head_start(self, seconds: float) -> None:
        """Be behind for at most this long, from now; 0 ends it."""
        self._head_start_until = monotonic() + seconds

    async def settled(self) -> None:
        """Return when every report is acknowledged but those that Postgres refuses."""
        while not self.is_settled:
            self._changed.clear()
            self._loop.wake()
            await self._changed.wait()

    async def stop(self, *, patience_seconds: float) -> list[Report]:
        """Flush; returns what Postgres did not take in time, to be spooled."""
        try:
            async with asyncio.timeout(patience_seconds):
                await self.settled()
        except TimeoutError:
            pass
        await self._loop.stop()
        await self.link.close()
        return self.unsettled

    async def _turn(self) -> float:
        if 0 < self._backlog.fresh < SETTLE_BATCH:
            await asyncio.sleep(self.flush_seconds)  # let a batch gather
        batch = self._backlog.take(monotonic())
        if batch is not None:
            try:
                await self._settle(batch)
            finally:
                self._changed.set()
        if self._refused_in_a_row >= REFUSED_IN_A_ROW:
            self._refused_in_a_row = 0
            raise RefusedInARowError(f"Postgres refused {REFUSED_IN_A_ROW} outcomes one after another")
        rest = self._backlog.rest_seconds(monotonic())
        return IDLE_SECONDS if rest is None else rest

    async def _settle(self, batch: Batch) -> None:
        """One batch: booked, parked, split or, if the database failed, put back whole."""
        sent = False
        try:
            async with self.link.use() as connection:
                if batch.ask_first:
                    batch = await self._without_blocked(connection, batch)
                if batch.reports:
                    sent = True
                    await self._send(connection, batch)
        except BaseException:
            self._put_back(batch, breaks=sent)
            self._backlog.fall_behind()
            raise

    def _put_back(self, batch: Batch, *, breaks: bool) -> None:
        """A statement that ends with its connection again and again may do so for one outcome: it is looked for as well."""
        batch = replace(batch, broken=batch.broken + breaks)
        if batch.broken < BROKEN_TRIES:
            self._backlog.put_back(batch)
        elif len(batch.reports) > 1:
            self._backlog.split(batch)
        else:
            self._park(batch.keys, Hold.TRANSIENT)

    async def _send(self, connection: Connection, batch: Batch) -> None:
        answer = await self._finish(connection, batch.reports)
        if not isinstance(answer, psycopg.Error):
            self._booked(batch, answer)
            return
        match fault_of(answer):
            case Fault.CONFLICT:
                self._park(batch.keys, Hold.CONFLICT)
            case Fault.LOCKED:
                await self._go_around(connection, batch)
            case _ if len(batch.reports) > 1:
                self._backlog.split(batch)
            case Fault.TRANSIENT if self._backlog.holds(batch.keys[0], Hold.TRANSIENT) < TRANSIENT_TRIES:
                self._refuse(batch, Hold.TRANSIENT, answer)
            case _:
                await self._send_bare(connection, batch, answer)

    async def _send_bare(self, connection: Connection, batch: Batch, error: psycopg.Error) -> None:
        """Book the call, if its answer cannot be stored. The answer itself is kept until that is done."""
        (report,) = batch.reports
        # On the row what the database said may stand; in a log it may not.
        bare = report.bare(error.diag.message_primary or describe(error))
        answer = await self._finish(connection, [bare])
        if not isinstance(answer, psycopg.Error):
            if answer:
                log.error("outcome_booked_without_answer", request_id=str(report.id), error=describe(error))
            self._booked(batch, answer)
            return
        match fault_of(answer):
            case Fault.CONFLICT:
                self._park(batch.keys, Hold.CONFLICT)
            case Fault.LOCKED:
                self._park(batch.keys, Hold.BLOCKED)
            case Fault.TRANSIENT:
                self._refuse(batch, Hold.TRANSIENT, answer)
            case _:
                self._refuse(batch, Hold.REFUSED, answer)

    def _refuse(self, batch: Batch, hold: Hold, error: psycopg.Error) -> None:
        self._refused_in_a_row += 1
        ((id, claim_seq),) = batch.keys
        if hold is Hold.REFUSED and (fate := self._fates.pop((id, claim_seq), None)) is not None:
            self._backlog.settle((id, claim_seq))
            _tell(fate, Fate.REFUSED)
        elif self._park(batch.keys, hold):
            log.error(
                "outcome_parked",
                request_id=str(id),
                claim_seq=claim_seq,
                reason=hold.reason,
                error=describe(error),
            )

    async def _go_around(self, connection: Connection, batch: Batch) -> None:
        """Somebody's open transaction holds a lock that one of these needs: set aside those that need it, settle the rest."""
        rest = await self._without_blocked(connection, batch)
        if 0 < len(rest.reports) < len(batch.reports):
            self._backlog.put_back(rest)
        elif len(rest.reports) > 1:
            self._backlog.split(rest)  # it was let go meanwhile, or is none that can be seen
        elif rest.reports:
            self._park(rest.keys, Hold.BLOCKED)

    async def _without_blocked(self, connection: Connection, batch: Batch) -> Batch:
        """Park what is blocked now; returns the others."""
        blocked = await self._blocked(connection, [report.id for report in batch.reports])
        held = {key for key in batch.keys if key[0] in blocked}
        if changed := self._park(held, Hold.BLOCKED):
            log.warning("outcomes_parked", count=len(changed), reason=Hold.BLOCKED.reason)
        return batch.only(set(batch.keys) - held)

    async def _blocked(self, connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
        try:
            return await engine.blocked(connection, ids)
        except psycopg.Error as error:
            if connection.closed or fault_of(error) in (Fault.LOST, Fault.SERVER):
                raise
            log.warning("blocked_unknown", error=describe(error))  # then halving finds them, more slowly
            return set()

    async def _finish(
        self, connection: Connection, reports: Sequence[Report]
    ) -> list[engine.Settled] | psycopg.Error:
        """What Postgres says of these; raises where it cannot say anything, of any outcome."""
        try:
            return await engine.finish(connection, self.worker_id(), [report.encoded for report in reports])
        except psycopg.Error as error:
            if connection.closed or fault_of(error) in (Fault.LOST, Fault.SERVER):
                raise
            return error

    def _booked(self, batch: Batch, rows: Sequence[engine.Settled]) -> None:
        settled = 0
        for row in rows:
            key = (row.id, row.claim_seq)
            settled += self._backlog.settle(key) is not None
            if self._fates:
                _tell(self._fates.pop(key, None), Fate.BOOKED)
            if not row.accepted:
                log.info(
                    "late_answer_booked", request_id=str(row.id), claim_seq=row.claim_seq, status=row.status
                )
        if settled:
            self._refused_in_a_row = 0
        if settled < len(batch.reports):
            # Passed over: somebody has the request's row.
            self._park([key for key in batch.keys if key in self._backlog], Hold.LOCKED)

    def _park(self, keys: Collection[Key], hold: Hold) -> list[Key]:
        return self._backlog.park(keys, hold, monotonic())


def _tell(future: asyncio.Future[Fate] | None, fate: Fate) -> None:
    if future is not None and not future.done():
        future.set_result(fate)
