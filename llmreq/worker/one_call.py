"""One claim from its payload to its report: prepared, sent once, judged (invariant 1)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llmreq.errors import ErrorCode, InvalidRequestError, LlmreqError
from llmreq.limits import MAX_ERROR_BODY_BYTES, MAX_REQUEST_BYTES
from llmreq.wire.formats import wire_for
from llmreq.wire.outcome import Billed, Failure, HttpRequest, HttpResponse
from llmreq.wire.provider import Provider
from llmreq.worker.checking import Beside, Checking, too_large
from llmreq.worker.document import LOCAL_PAGES
from llmreq.worker.engine import Claim
from llmreq.worker.judging import judged
from llmreq.worker.large_claim import is_large
from llmreq.worker.local import LOCAL_RULES, local_facts
from llmreq.worker.question import as_call
from llmreq.worker.report import Report, elapsed_ms, failure_facts
from llmreq.worker.send_error import SendError
from llmreq.worker.sender import Sender
from llmreq.worker.side_work import claim_report
from llmreq.worker.verdict import Expectation

_LOCAL = (LOCAL_RULES, LOCAL_PAGES)


@dataclass
class OneCall:
    """How a claim is called. Every problem known by name becomes a report."""

    sender: Sender
    providers: Mapping[str, Provider]
    checking: Checking = field(default_factory=Checking)

    async def report(self, claim: Claim, on_sent: Callable[[], None]) -> Report:
        """Call it. `on_sent` is told right before the first byte leaves: from then on it may be billed.

        Raises only what is a fault of ours.
        """
        try:
            if claim.lane in _LOCAL:
                return await self._local(claim)
            provider = self.providers[claim.provider]
            expected = await self.checking.expectation(claim)
            request = await self._request(claim, provider)
        except LlmreqError as problem:
            failure = Failure(problem.code, problem.message, problem.details)
            return claim_report(claim, {**failure_facts(failure), "billed": Billed.NOT_BILLED})
        claim = _without_question(claim)  # it is in the request now, and a call may take an hour
        started = time.monotonic()
        try:
            sending = self.sender.send(request, timeout_seconds=claim.timeout_seconds, on_sent=on_sent)
            del request  # the sender's now, which need not keep it until the answer comes
            response = await sending
        except SendError as error:
            return claim_report(claim, {**_send_facts(error, claim), "latency_ms": elapsed_ms(started)})
        judging = self._judge(claim, provider, expected, response, elapsed_ms(started))
        del response
        return await judging

    async def _request(self, claim: Claim, provider: Provider) -> HttpRequest:
        if is_large(claim):
            request = await self.checking.request(claim, provider)
        else:
            try:
                request = wire_for(provider).build(provider, as_call(claim))
            except (RecursionError, ValueError, OverflowError):
                raise InvalidRequestError(
                    "the request cannot be sent as JSON: it nests too deep or holds numbers without end"
                ) from None
        if len(request.body) > MAX_REQUEST_BYTES:
            raise too_large(len(request.body))
        return request

    async def _local(self, claim: Claim) -> Report:
        expected = await self.checking.expectation(claim)
        if isinstance(expected, Beside) or is_large(claim):
            return await self.checking.local(claim)
        try:
            return await asyncio.to_thread(_local_report, claim, expected)
        except (RecursionError, OverflowError):
            raise InvalidRequestError("the request nests too deep, or holds numbers without end") from None

    async def _judge(
        self,
        claim: Claim,
        provider: Provider,
        expected: Expectation | Beside,
        response: HttpResponse,
        latency_ms: int,
    ) -> Report:
        now = time.time()
        if 200 <= response.status < 300:
            judging = self.checking.answer(claim, provider, expected, response, latency_ms, now)
            del response  # up to MAX_ANSWER_BYTES, and nobody's once it is read
            return await judging
        if len(response.body) > MAX_ERROR_BODY_BYTES:
            response = replace(response, body=response.body[:MAX_ERROR_BODY_BYTES])
        answer = wire_for(provider).parse(provider, response, now)
        return claim_report(claim, judged(claim, answer, _NOTHING, latency_ms))


_NOTHING = Expectation(None, None, False)


def _local_report(claim: Claim, expected: Expectation) -> Report:
    return claim_report(claim, local_facts(claim, expected))


def _without_question(claim: Claim) -> Claim:
    """What is still needed when the answer comes: a document is looked at again, of other claims the schemas."""
    if claim.document is not None:
        return claim
    return claim._replace(messages=None, content=None, params=None, last_response=None, last_errors=None)


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
