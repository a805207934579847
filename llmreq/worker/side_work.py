"""The jobs of a process beside the worker: values in, values out. Pure; each may be killed at any moment.

A job is a generator: what it yields is to be taken if the rest does not come, what it returns is its result. No job holds a key:
the providers here are without theirs.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from llmreq.check.schemas import compile_schema
from llmreq.check.tools import compile_tools
from llmreq.errors import ErrorCode
from llmreq.wire.formats import wire_for
from llmreq.wire.outcome import HttpResponse
from llmreq.wire.provider import Provider
from llmreq.worker.engine import Claim
from llmreq.worker.frames import Bulk
from llmreq.worker.judging import judged, not_judged
from llmreq.worker.large_claim import decoded_claim
from llmreq.worker.local import local_facts
from llmreq.worker.question import as_call
from llmreq.worker.report import Report, report
from llmreq.worker.verdict import Expectation

SideReport: TypeAlias = tuple[Report, Bulk]
"""A report whose encoded form travels beside it."""


@dataclass(frozen=True, slots=True)
class CompileJob:
    """Compile a row's schemas, to learn whether they are good and how long it takes. Raises InvalidSchemaError."""

    claim: Claim

    def work(self) -> Generator[Any, None, float]:
        yield from ()
        began = time.process_time()
        expectation(decoded_claim(self.claim))
        return time.process_time() - began


@dataclass(frozen=True, slots=True)
class RequestJob:
    """Make a request of a large claim, whose schemas are known to be good. Raises LlmreqError."""

    claim: Claim
    provider: Provider

    def work(self) -> Generator[Any, None, tuple[str, dict[str, str], Bulk]]:
        yield from ()
        claim = decoded_claim(self.claim)
        request = wire_for(self.provider).build(self.provider, as_call(claim))
        return request.url, dict(request.headers), Bulk(request.body)


@dataclass(frozen=True, slots=True)
class AnswerJob:
    """Read and judge an answer; None when it is not the provider's JSON. Yields the answer as one that was not judged."""

    claim: Claim
    provider: Provider
    status: int
    headers: dict[str, str]
    body: Bulk
    latency_ms: int
    now: float

    def work(self) -> Generator[SideReport, None, SideReport | None]:
        claim = decoded_claim(self.claim)
        response = HttpResponse(self.status, self.headers, self.body.data)
        answer = wire_for(self.provider).parse(self.provider, response, self.now)
        if answer.failure is not None and answer.failure.code is ErrorCode.PROVIDER_UNAVAILABLE:
            return None
        yield _beside(claim, not_judged(answer, self.latency_ms))
        return _beside(claim, judged(claim, answer, expectation(claim), self.latency_ms))


@dataclass(frozen=True, slots=True)
class LocalJob:
    """A step of a large claim on the local tier. Raises LlmreqError."""

    claim: Claim

    def work(self) -> Generator[Any, None, SideReport]:
        yield from ()
        claim = decoded_claim(self.claim)
        return _beside(claim, local_facts(claim, expectation(claim)))


Job: TypeAlias = CompileJob | RequestJob | AnswerJob | LocalJob


def expectation(claim: Claim) -> Expectation:
    """Compile the row's schemas. Raises InvalidSchemaError before any money is spent."""
    schema = None if claim.response_schema is None else compile_schema(claim.response_schema)
    tools = None if claim.tools is None else compile_tools(claim.tools)
    return Expectation(schema, tools, claim.allow_text)


def claim_report(claim: Claim, facts: dict[str, Any]) -> Report:
    """The report of a claim; the facts are its own from here on."""
    facts["max_output_tokens"] = claim.max_output_tokens
    return report(claim.id, claim.claim_seq, claim.claimed_at, facts)


def whole(result: SideReport) -> Report:
    """The report as it was before it travelled."""
    made, encoded = result
    return replace(made, encoded=encoded.data)


def _beside(claim: Claim, facts: dict[str, Any]) -> SideReport:
    made = claim_report(claim, facts)
    return replace(made, encoded=b""), Bulk(made.encoded)
