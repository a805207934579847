"""The calls in flight: one claim becomes one call and one report (invariant 1). Nothing here retries, and no transaction is open
(invariant 2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeAlias
from uuid import UUID

import structlog

from llmreq.errors import ErrorCode
from llmreq.wire.outcome import Billed, Failure
from llmreq.wire.provider import Provider
from llmreq.worker.checking import Checking
from llmreq.worker.describe import describe
from llmreq.worker.engine import Claim
from llmreq.worker.one_call import OneCall
from llmreq.worker.report import Report, failure_facts, report
from llmreq.worker.sender import Sender

log = structlog.get_logger()

ClaimKey: TypeAlias = tuple[UUID, int]
"""A claim: request and claim_seq. An edit by hand can bring the same request twice to one worker."""


@dataclass(slots=True)
class _Running:
    """A call in flight: what its report needs, should the call not come to an end. Never the payload: asyncio may log it."""

    id: UUID
    claim_seq: int
    claimed_at: datetime
    max_output_tokens: int
    task: asyncio.Task[Report] = field(init=False, repr=False)
    ending: str | None = None
    is_sent: bool = False

    def mark_sent(self) -> None:
        self.is_sent = True

    def report(self, **facts: object) -> Report:
        """A report without an answer. Cut or broken after it left, nobody will ever know what it cost."""
        billed = Billed.UPPER_BOUND if self.is_sent else Billed.NOT_BILLED
        facts = {"billed": billed, "max_output_tokens": self.max_output_tokens, **facts}
        return report(self.id, self.claim_seq, self.claimed_at, facts)


@dataclass
class Caller:
    """Runs claims as tasks. `done` gets each report on the event loop."""

    sender: Sender
    providers: Mapping[str, Provider]
    done: Callable[[Report], None]
    checking: Checking = field(default_factory=Checking)
    _running: dict[ClaimKey, _Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._call = OneCall(self.sender, self.providers, self.checking)

    @property
    def in_flight(self) -> int:
        return len(self._running)

    @property
    def ids(self) -> set[UUID]:
        """Requests that are being called."""
        return {id for id, _ in self._running}

    @property
    def claims(self) -> set[ClaimKey]:
        """Claims that are being called."""
        return set(self._running)

    def start(self, claim: Claim) -> None:
        """Begin a call; returns at once. A claim that is being called is not called twice."""
        key = (claim.id, claim.claim_seq)
        if key in self._running:
            return
        running = _Running(claim.id, claim.claim_seq, claim.claimed_at, claim.max_output_tokens)
        running.task = asyncio.create_task(self._call.report(claim, running.mark_sent))
        self._running[key] = running
        # A callback, not a finally: a task that is cancelled before its first step never enters its own body.
        running.task.add_done_callback(partial(self._ended, running))

    def refuse(
        self, id: UUID, claim_seq: int, claimed_at: datetime, max_output_tokens: int, failure: Failure
    ) -> None:
        """Report a claim that cannot be called, uncharged."""
        running = _Running(id, claim_seq, claimed_at, max_output_tokens)
        self.done(running.report(**failure_facts(failure)))

    def cancel(self, ids: list[UUID]) -> None:
        """Cut the calls of these requests, for their producers' sake; each still reports."""
        wanted = set(ids)
        for running in list(self._running.values()):
            if running.id in wanted:
                _cut(running, "cancelled")

    def release_all(self) -> None:
        """Cut every call and hand its request back, uncharged: the end of a drain."""
        for running in list(self._running.values()):
            _cut(running, "released")

    def drop_all(self) -> None:
        """Cut every call without a report: this worker was declared dead, and the rescue has booked them."""
        for running in list(self._running.values()):
            _cut(running, "dropped")

    async def idle(self) -> None:
        """Return when no call is in flight."""
        while self._running:
            await asyncio.wait([running.task for running in self._running.values()])

    def _ended(self, running: _Running, task: asyncio.Task[Report]) -> None:
        """Never raises: what is raised in a callback reaches nobody, and the claim would hang until a rescue."""
        self._running.pop((running.id, running.claim_seq), None)
        try:
            if not (task.cancelled() and running.ending == "dropped"):
                self.done(_report_of(running, task))
        except Exception as error:
            log.error("report_lost", request_id=str(running.id), claim_seq=running.claim_seq, exc_info=error)


def _cut(running: _Running, ending: str) -> None:
    if running.ending is None:
        running.ending = ending
        running.task.cancel()


def _report_of(running: _Running, task: asyncio.Task[Report]) -> Report:
    if task.cancelled():
        return running.report(outcome=running.ending or "released")
    if (error := task.exception()) is not None:
        log.error("call_failed", request_id=str(running.id), claim_seq=running.claim_seq, exc_info=error)
        return running.report(outcome=ErrorCode.INTERNAL, error_message=describe(error))
    return task.result()
