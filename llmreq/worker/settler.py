"""Writes outcomes back in batches, and holds them while Postgres is away: no paid answer is dropped (invariant 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import structlog

from llmreq.worker import engine
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop, describe
from llmreq.worker.report import Report

log = structlog.get_logger()

BATCH_SIZE = 200
"""Outcomes per statement: at 200 the statement's own cost is below 5 % of the whole."""

IDLE_SECONDS = 3600.0


@dataclass
class Settler:
    """Takes reports from callers, settles them every `flush_seconds` or at 200, and keeps each until it is acknowledged."""

    link: Link
    worker_id: Callable[[], int]
    flush_seconds: float
    _waiting: dict[tuple[UUID, int], Report] = field(default_factory=dict)
    _settled: asyncio.Event = field(default_factory=asyncio.Event)
    _behind: set[tuple[UUID, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._loop = Loop("settler", self._turn)

    def start(self) -> None:
        self._loop.start()

    def put(self, report: Report) -> None:
        """Take one call's report. Never blocks: the claimer claims less while many wait (see `backlog`)."""
        self._waiting[report.id, report.claim_seq] = report
        self._loop.wake()

    @property
    def backlog(self) -> int:
        """Reports not yet acknowledged by Postgres."""
        return len(self._waiting)

    @property
    def is_behind(self) -> bool:
        """Whether outcomes wait that Postgres did not take when it was asked: claims should wait for them."""
        self._behind &= self._waiting.keys()
        return bool(self._behind)

    @property
    def unsettled(self) -> list[Report]:
        """What Postgres has not acknowledged."""
        return list(self._waiting.values())

    @property
    def ids(self) -> set[UUID]:
        """Requests whose reports wait."""
        return {id for id, _ in self._waiting}

    async def settled(self) -> None:
        """Return when every report so far is acknowledged."""
        while self._waiting:
            self._settled.clear()
            self._loop.wake()
            await self._settled.wait()

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
        if not self._waiting:
            return IDLE_SECONDS
        if len(self._waiting) < BATCH_SIZE:
            await asyncio.sleep(self.flush_seconds)  # let a batch gather
        batch = list(self._waiting.values())[:BATCH_SIZE]
        try:
            await self._settle(batch)
        except BaseException:
            self._behind |= self._waiting.keys()
            raise
        finally:
            self._settled.set()
        return 0.0 if self._waiting else IDLE_SECONDS

    async def _settle(self, batch: list[Report]) -> None:
        try:
            async with self.link.use() as connection:
                settled = await engine.finish(
                    connection, self.worker_id(), [report.encoded for report in batch]
                )
        except psycopg.errors.DataError as error:
            await self._settle_apart(batch, error)
            return
        for row in settled:
            report = self._waiting.pop((row.id, row.claim_seq), None)
            if report is not None and not row.accepted:
                log.info(
                    "late_answer_booked", request_id=str(row.id), claim_seq=row.claim_seq, status=row.status
                )

    async def _settle_apart(self, batch: list[Report], error: psycopg.Error) -> None:
        """One bad row must not hold up a batch: halve it until the row is found, and settle that one bare."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])
            return
        report = batch[0]
        log.error("outcome_refused", request_id=str(report.id), error=describe(error))
        if report.is_bare:
            raise error  # nothing is left to take away: the loop tries again, and says so
        self._waiting[report.id, report.claim_seq] = report.bare(describe(error))
        await self._settle([self._waiting[report.id, report.claim_seq]])
