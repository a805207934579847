"""What is done on the event loop and what in a process beside: small things take microseconds in place, and nothing may take
STALL_BUDGET_SECONDS from everybody else's calls (invariant 11)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

from llmreq.errors import ErrorCode, InvalidRequestError, InvalidSchemaError, LlmreqError
from llmreq.limits import (
    INLINE_ANSWER_BYTES,
    INLINE_CHECK_WORK,
    INLINE_COMPILE_SECONDS,
    INLINE_PATTERN_CHARS,
    INLINE_SCHEMA_BYTES,
    MAX_ERROR_BODY_BYTES,
    MAX_REQUEST_BYTES,
    SIDE_BUILD_SECONDS,
    SIDE_CHECK_SECONDS,
    SIDE_COMPILE_SECONDS,
    SIDE_LOCAL_SECONDS,
    VERDICTS_KEPT,
)
from llmreq.wire.failures import unreadable
from llmreq.wire.formats import wire_for
from llmreq.wire.outcome import Answer, Billed, Failure, HttpRequest, HttpResponse
from llmreq.wire.provider import Provider
from llmreq.worker.engine import Claim
from llmreq.worker.fingerprint import fingerprint
from llmreq.worker.frames import Bulk
from llmreq.worker.judging import judged
from llmreq.worker.large_claim import packed_claim, payload_bytes
from llmreq.worker.large_json import LargeJson
from llmreq.worker.report import Report, failure_facts
from llmreq.worker.side_pool import SidePool
from llmreq.worker.side_process import SideError
from llmreq.worker.side_work import (
    AnswerJob,
    CompileJob,
    LocalJob,
    RequestJob,
    claim_report,
    expectation,
    whole,
)
from llmreq.worker.verdict import Expectation

_ANYTHING = Expectation(None, None, False)
_TEXT = Expectation(None, None, True)


@dataclass(frozen=True, slots=True)
class Beside:
    """What a row demands, known to be good and too costly to be compiled here: its answers are judged beside."""


@dataclass
class Checking:
    """Compiles, builds and judges without holding up the calls beside."""

    pool: SidePool = field(default_factory=SidePool)
    _verdicts: OrderedDict[bytes, Expectation | Beside | LlmreqError] = field(default_factory=OrderedDict)
    _compiling: dict[bytes, asyncio.Event] = field(default_factory=dict)

    async def expectation(self, claim: Claim) -> Expectation | Beside:
        """The row's schemas, compiled. Raises InvalidSchemaError before any money is spent; each schema is judged once."""
        if claim.response_schema is None and claim.tools is None:
            return _TEXT if claim.allow_text else _ANYTHING
        key, canonical = fingerprint(claim)
        while (known := self._verdicts.get(key)) is None:
            if (running := self._compiling.get(key)) is not None:
                await running.wait()  # another call's, which may be cut: then this one goes on
            elif (
                canonical is not None
                and len(canonical) <= INLINE_SCHEMA_BYTES
                and b'"pattern' not in canonical
            ):
                self._remember(key, _compiled(claim))
            else:
                await self._compile_beside(claim, key, canonical)
        self._verdicts.move_to_end(key)
        if isinstance(known, LlmreqError):
            raise _anew(known)
        return known

    async def request(self, claim: Claim, provider: Provider) -> HttpRequest:
        """The request of a large claim. Raises LlmreqError."""
        if payload_bytes(claim) > MAX_REQUEST_BYTES:
            raise too_large(payload_bytes(claim))
        job = RequestJob(packed_claim(claim), replace(provider, api_key=None))
        try:
            url, headers, body = await self.pool.run(job, (claim.lane,), SIDE_BUILD_SECONDS)
        except SideError as error:
            raise _not_made("the request", error) from None
        return HttpRequest(url, {**headers, **wire_for(provider).key_headers(provider)}, body.data)

    async def local(self, claim: Claim) -> Report:
        """The report of a large claim's step on the local tier. Raises LlmreqError."""
        try:
            return whole(
                await self.pool.run(LocalJob(packed_claim(claim)), (claim.lane,), SIDE_LOCAL_SECONDS)
            )
        except SideError as error:
            raise _not_made("the step", error) from None

    async def answer(
        self,
        claim: Claim,
        provider: Provider,
        expected: Expectation | Beside,
        response: HttpResponse,
        latency_ms: int,
        now: float,
    ) -> Report:
        """The report of a whole response that is no HTTP error: read, judged and encoded."""
        if isinstance(expected, Expectation) and _is_small(claim, response):
            answer = wire_for(provider).parse(provider, response, now)
            if answer.failure is not None or _is_quickly_judged(answer, expected):
                return claim_report(claim, judged(claim, answer, expected, latency_ms))
        judging = self.pool.run(
            _answer_job(claim, provider, response, latency_ms, now), _group(claim), SIDE_CHECK_SECONDS
        )
        size = len(response.body)
        response = replace(response, body=response.body[:MAX_ERROR_BODY_BYTES])  # the whole is the job's now
        try:
            result = await judging
        except SideError as error:
            if error.provisional is not None:
                return whole(error.provisional)
            return claim_report(claim, {**_bill(response, latency_ms), **_unread(provider, size, error)})
        except LlmreqError as problem:
            failure = Failure(problem.code, problem.message, problem.details)
            return claim_report(claim, {**_bill(response, latency_ms), **failure_facts(failure)})
        if result is None:
            return claim_report(claim, judged(claim, unreadable(provider, response), _ANYTHING, latency_ms))
        return whole(result)

    async def close(self) -> None:
        """End the processes beside, if any was needed."""
        await self.pool.close()

    async def _compile_beside(self, claim: Claim, key: bytes, canonical: bytes | None) -> None:
        """Learn how long it takes, and then compile it here or never."""
        done = self._compiling[key] = asyncio.Event()
        verdict: Expectation | Beside | LlmreqError
        try:
            job = CompileJob(packed_claim(_of_schemas(claim)))
            seconds = await self.pool.run(job, (claim.lane,), SIDE_COMPILE_SECONDS)
            verdict = (
                _compiled(claim) if canonical is not None and seconds <= INLINE_COMPILE_SECONDS else Beside()
            )
        except SideError as error:
            if not error.began:
                raise _not_made("the schema", error) from None
            verdict = InvalidSchemaError(
                "the schema takes too long to compile, or too much memory: make it smaller"
            )
        except (InvalidSchemaError, InvalidRequestError) as problem:
            verdict = _anew(problem)
        finally:
            del self._compiling[key]
            done.set()
        self._remember(key, verdict)

    def _remember(self, key: bytes, verdict: Expectation | Beside | LlmreqError) -> None:
        self._verdicts[key] = verdict
        while len(self._verdicts) > VERDICTS_KEPT:
            self._verdicts.popitem(last=False)


def too_large(size: int) -> InvalidRequestError:
    """For a request that no provider takes."""
    return InvalidRequestError(
        f"the request has {size:,} bytes, at most {MAX_REQUEST_BYTES:,} can be sent",
        details={"bytes": size, "limit": MAX_REQUEST_BYTES},
    )


def _compiled(claim: Claim) -> Expectation | LlmreqError:
    try:
        return expectation(claim)
    except (InvalidSchemaError, InvalidRequestError) as problem:
        return _anew(problem)


def _anew(problem: LlmreqError) -> LlmreqError:
    """Without its traceback, whose frames would keep a claim's payload for as long as the verdict is remembered."""
    return type(problem)(problem.message, details=problem.details)


def _of_schemas(claim: Claim) -> Claim:
    """The claim without what a compiler does not look at."""
    return claim._replace(
        messages=None,
        content=None,
        params=None,
        tool_choice=None,
        last_response=None,
        last_errors=None,
        document=None,
    )


def _answer_job(
    claim: Claim, provider: Provider, response: HttpResponse, latency_ms: int, now: float
) -> AnswerJob:
    keyless = replace(provider, api_key=None)
    headers, body = dict(response.headers), Bulk(response.body)
    return AnswerJob(packed_claim(claim), keyless, response.status, headers, body, latency_ms, now)


def _group(claim: Claim) -> tuple[str, ...]:
    """Whose share of the processes an answer takes: its lane's, and its schema's."""
    if claim.response_schema is None and claim.tools is None:
        return (claim.lane,)
    return (claim.lane, fingerprint(claim)[0].hex())


def _is_small(claim: Claim, response: HttpResponse) -> bool:
    if len(response.body) > INLINE_ANSWER_BYTES:
        return False
    # A brief is cut to its cap sentence by sentence.
    return claim.document is None or not (claim.kind == "brief" or isinstance(claim.document, LargeJson))


def _is_quickly_judged(answer: Answer, expected: Expectation) -> bool:
    if expected.schema is None and expected.tools is None:
        return True
    chars = _chars(answer)
    if expected.is_costly and chars > INLINE_PATTERN_CHARS:
        return False
    return chars * expected.subschemas <= INLINE_CHECK_WORK


def _chars(answer: Answer) -> int:
    # A tool call's arguments were decoded with the response; their text is not there any more, but their size is near it.
    return len(answer.text or "") + sum(
        len(call.raw or "") or _size(call.params) for call in answer.tool_calls
    )


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + 4 + _size(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(2 + _size(inner) for inner in value)
    return 8


def _bill(response: HttpResponse, latency_ms: int) -> dict[str, Any]:
    return {"billed": Billed.UPPER_BOUND, "http_status": response.status, "latency_ms": latency_ms}


def _unread(provider: Provider, size: int, error: SideError) -> dict[str, Any]:
    """An answer of which nothing is known but that it came: perhaps paid for."""
    message = f"{provider.name} answered with {size:,} bytes that could not be read: it {error.reason}"
    code = ErrorCode.PROVIDER_UNAVAILABLE if error.began else ErrorCode.INTERNAL
    return failure_facts(Failure(code, message))


def _not_made(what: str, error: SideError) -> LlmreqError:
    """What killed its process would do so again; what found no room may be tried again, which `internal` is."""
    if error.began:
        return InvalidRequestError(f"{what} cannot be made: it {error.reason}")
    return LlmreqError(f"{what} was not made: it {error.reason}")
