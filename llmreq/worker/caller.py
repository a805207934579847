"""One claim becomes one call and one report (invariant 1). Nothing here retries, and no transaction is open (invariant 2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog

from llmreq.check.feedback import reask_messages
from llmreq.errors import ErrorCode, LlmreqError
from llmreq.wire.outcome import Answer, Billed, Call, Failure, HttpResponse
from llmreq.wire.provider import Provider, wire_for
from llmreq.worker.checking import Expectation, check_answer, expectation
from llmreq.worker.engine import Claim
from llmreq.worker.local import LOCAL_RULES, run_local
from llmreq.worker.loop import describe
from llmreq.worker.report import Report, answer_facts, failure_facts, report
from llmreq.worker.sender import SendError, Sender

log = structlog.get_logger()


@dataclass
class Caller:
    """Runs claims as tasks. `done` gets each report on the event loop."""

    sender: Sender
    providers: Mapping[str, Provider]
    done: Callable[[Report], None]
    _tasks: dict[UUID, asyncio.Task[None]] = field(default_factory=dict)
    _endings: dict[UUID, str] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    def start(self, claim: Claim) -> None:
        """Begin a call; returns at once."""
        task = asyncio.create_task(self._run(claim), name=f"call {claim.id}")
        self._tasks[claim.id] = task

    def cancel(self, ids: list[UUID]) -> None:
        """Cut the calls of these requests, for their producers' sake; each still reports."""
        for id in ids:
            self._end(id, "cancelled")

    def release_all(self) -> None:
        """Cut every call and hand its request back, uncharged: the end of a drain."""
        for id in list(self._tasks):
            self._end(id, "released")

    def drop_all(self) -> None:
        """Cut every call without a report: this worker was declared dead, and the rescue has booked them."""
        for id in list(self._tasks):
            self._end(id, "dropped")

    async def idle(self) -> None:
        """Return when no call is in flight."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def _end(self, id: UUID, ending: str) -> None:
        task = self._tasks.get(id)
        if task is not None and id not in self._endings:
            self._endings[id] = ending
            task.cancel()

    async def _run(self, claim: Claim) -> None:
        started = time.monotonic()
        try:
            facts = await self._call(claim)
        except asyncio.CancelledError:
            ending = self._endings.get(claim.id, "released")
            if ending == "dropped":
                return
            facts = {"outcome": ending, "billed": Billed.UPPER_BOUND, "latency_ms": _since(started)}
        except Exception as error:
            log.exception("call_failed", request_id=str(claim.id), claim_seq=claim.claim_seq)
            facts = {
                "outcome": ErrorCode.INTERNAL,
                "error_message": describe(error)[:500],
                "billed": Billed.UPPER_BOUND,
                "latency_ms": _since(started),
            }
        finally:
            self._tasks.pop(claim.id, None)
            self._endings.pop(claim.id, None)
        facts["max_output_tokens"] = claim.max_output_tokens
        self.done(report(claim.id, claim.claim_seq, claim.claimed_at, facts))

    async def _call(self, claim: Claim) -> dict[str, Any]:
        """One call from claim to facts; every problem known by name comes back as facts too."""
        try:
            expected = await expectation(claim)
            if claim.lane == LOCAL_RULES:
                return await run_local(claim, expected)
            provider = self.providers[claim.provider]
            wire = wire_for(provider)
            request = wire.build(provider, _as_call(claim))
        except LlmreqError as problem:
            failure = Failure(problem.code, problem.message, problem.details)
            return {**failure_facts(failure), "billed": Billed.NOT_BILLED}

        started = time.monotonic()
        try:
            response = await self.sender.send(request, timeout_seconds=claim.timeout_seconds)
        except SendError as error:
            return {**_send_facts(error, claim), "latency_ms": _since(started)}
        answer = wire.parse(_as_call(claim), response, time.time())
        return await self._judge(answer, expected, _since(started), response)

    async def _judge(
        self, answer: Answer, expected: Expectation, latency_ms: int, response: HttpResponse
    ) -> dict[str, Any]:
        """HTTP, refusal and finish reason come first, with the wire; then the text is checked."""
        facts = answer_facts(answer, latency_ms)
        if facts["http_status"] is None:
            facts["http_status"] = response.status
        if answer.failure is not None:
            return {**facts, **failure_facts(answer.failure)}
        return {**facts, **await check_answer(answer, expected)}


def _as_call(claim: Claim) -> Call:
    messages = claim.messages if claim.messages is not None else [{"role": "user", "content": claim.content}]
    if claim.last_errors and claim.last_response is not None:
        messages = reask_messages(messages, claim.last_response, claim.last_errors)
    return Call(
        model=claim.model,
        messages=messages,
        max_output_tokens=claim.max_output_tokens,
        response_schema=claim.response_schema,
        tools=claim.tools,
        tool_choice=claim.tool_choice,
        params=claim.params or {},
    )


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


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
