"""One claim becomes one call and one report (invariant 1). Nothing here retries, and no transaction is open (invariant 2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from llmreq.errors import ErrorCode, LlmreqError
from llmreq.text.brief import summarized
from llmreq.text.tokens import best_estimator
from llmreq.wire.formats import wire_for
from llmreq.wire.outcome import Answer, Billed, Failure, HttpResponse
from llmreq.wire.provider import Provider
from llmreq.worker.checking import Checking, expectation
from llmreq.worker.document import LOCAL_PAGES, merge_report, run_pages
from llmreq.worker.engine import Claim
from llmreq.worker.local import LOCAL_RULES, brief_tokens, run_local
from llmreq.worker.loop import describe
from llmreq.worker.question import as_call, input_text
from llmreq.worker.report import Report, answer_facts, elapsed_ms, failure_facts, report
from llmreq.worker.send_error import SendError
from llmreq.worker.sender import Sender
from llmreq.worker.verdict import Expectation

log = structlog.get_logger()


@dataclass
class Caller:
    """Runs claims as tasks. `done` gets each report on the event loop."""

    sender: Sender
    providers: Mapping[str, Provider]
    done: Callable[[Report], None]
    checking: Checking = field(default_factory=Checking)
    _tasks: dict[UUID, asyncio.Task[dict[str, Any]]] = field(default_factory=dict)
    _endings: dict[UUID, str] = field(default_factory=dict)
    _sent: set[UUID] = field(default_factory=set)
    _claims: set[tuple[UUID, int]] = field(default_factory=set)

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    @property
    def claims(self) -> set[tuple[UUID, int]]:
        """Claims that are being called."""
        return set(self._claims)

    def start(self, claim: Claim) -> None:
        """Begin a call; returns at once."""
        task = asyncio.create_task(self._call(claim))
        self._tasks[claim.id] = task
        self._claims.add((claim.id, claim.claim_seq))
        # A callback, not a finally: a task that is cancelled before its first step never enters its own body.
        task.add_done_callback(partial(self._ended, claim))

    def refuse(
        self, id: UUID, claim_seq: int, claimed_at: datetime, max_output_tokens: int, failure: Failure
    ) -> None:
        """Report a claim that cannot be called, unbilled."""
        facts = {
            **failure_facts(failure),
            "billed": Billed.NOT_BILLED,
            "max_output_tokens": max_output_tokens,
        }
        self.done(report(id, claim_seq, claimed_at, facts))

    def cancel(self, ids: list[UUID]) -> None:
        """Cut the calls of these requests, for their producers' sake; each still reports."""
        for id in ids:
            self._cut(id, "cancelled")

    def release_all(self) -> None:
        """Cut every call and hand its request back, uncharged: the end of a drain."""
        for id in list(self._tasks):
            self._cut(id, "released")

    def drop_all(self) -> None:
        """Cut every call without a report: this worker was declared dead, and the rescue has booked them."""
        for id in list(self._tasks):
            self._cut(id, "dropped")

    async def idle(self) -> None:
        """Return when no call is in flight."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def _cut(self, id: UUID, ending: str) -> None:
        task = self._tasks.get(id)
        if task is not None and id not in self._endings:
            self._endings[id] = ending
            task.cancel()

    def _ended(self, claim: Claim, task: asyncio.Task[dict[str, Any]]) -> None:
        del self._tasks[claim.id]
        self._claims.discard((claim.id, claim.claim_seq))
        ending = self._endings.pop(claim.id, "released")
        sent = claim.id in self._sent
        self._sent.discard(claim.id)
        if task.cancelled():
            if ending == "dropped":
                return
            facts: dict[str, Any] = {"outcome": ending}
        elif (error := task.exception()) is not None:
            log.error("call_failed", request_id=str(claim.id), claim_seq=claim.claim_seq, exc_info=error)
            facts = {"outcome": ErrorCode.INTERNAL, "error_message": describe(error)[:500]}
        else:
            facts = task.result()
        # Cut or broken after it left: nobody will ever know what it cost.
        facts.setdefault("billed", Billed.UPPER_BOUND if sent else Billed.NOT_BILLED)
        facts["max_output_tokens"] = claim.max_output_tokens
        self.done(report(claim.id, claim.claim_seq, claim.claimed_at, facts))

    async def _call(self, claim: Claim) -> dict[str, Any]:
        """One call from claim to facts; every problem known by name comes back as facts too."""
        try:
            expected = expectation(claim)
            if claim.lane == LOCAL_RULES:
                return await run_local(claim, expected)
            if claim.lane == LOCAL_PAGES:
                return await run_pages(claim, expected)
            provider = self.providers[claim.provider]
            wire = wire_for(provider)
            request = wire.build(provider, as_call(claim))
        except LlmreqError as problem:
            failure = Failure(problem.code, problem.message, problem.details)
            return {**failure_facts(failure), "billed": Billed.NOT_BILLED}

        started = time.monotonic()
        self._sent.add(claim.id)
        try:
            response = await self.sender.send(request, timeout_seconds=claim.timeout_seconds)
        except SendError as error:
            return {**_send_facts(error, claim), "latency_ms": elapsed_ms(started)}
        answer = wire.parse(provider, response, time.time())
        return await self._judge(claim, answer, expected, elapsed_ms(started), response)

    async def _judge(
        self, claim: Claim, answer: Answer, expected: Expectation, latency_ms: int, response: HttpResponse
    ) -> dict[str, Any]:
        """HTTP, refusal and finish reason come first, with the wire; then the text is checked."""
        facts = answer_facts(answer, latency_ms)
        if facts["http_status"] is None:
            facts["http_status"] = response.status
        if answer.failure is not None:
            return {**facts, **failure_facts(answer.failure)}
        facts |= await self.checking.facts(claim, answer, expected)
        if claim.document is not None and facts["outcome"] == "completed":
            facts |= _of_a_document(claim, facts)
        return facts


def _of_a_document(claim: Claim, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What else is said of an answer: a brief is brought under its cap, a reduced document tells which pages it lacks."""
    if claim.kind == "brief":
        answer = facts["parsed_response"] if facts.get("parsed_response") is not None else facts["response"]
        made = summarized(answer, input_text(claim), brief_tokens(claim), best_estimator())
        return {"parsed_response": made.as_json()}
    if claim.document["results"] is not None:
        return {"merge_report": merge_report(claim.document["results"], "reduce")}
    return {}


_SEND_CODES = {
    "not_sent": (ErrorCode.PROVIDER_UNAVAILABLE, Billed.NOT_BILLED),
    "unknown": (ErrorCode.PROVIDER_UNAVAILABLE, Billed.UPPER_BOUND),
    "timeout": (ErrorCode.PROVIDER_TIMEOUT, Billed.UPPER_BOUND),
    "too_large": (ErrorCode.INVALID_REQUEST, Billed.UPPER_BOUND),
}


def _send_facts(error: SendError, claim: Claim) -> dict[str, Any]:
    code, billed = _SEND_CODES[error.kind]
    message = f"{claim.provider}: {error.message}"
    return {**failure_facts(Failure(code, message)), "billed": billed}
