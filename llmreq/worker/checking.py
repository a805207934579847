"""Joins the pure checks to the event loop: small answers are judged in place, in microseconds; what may take long, aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmreq.check.decode import storable_text
from llmreq.check.schemas import compile_schema
from llmreq.check.tools import compile_tools
from llmreq.errors import ErrorCode
from llmreq.limits import INLINE_CHECK_CHARS, INLINE_PATTERN_CHARS, SIDE_CHECK_SECONDS
from llmreq.wire.outcome import Answer
from llmreq.worker.engine import Claim
from llmreq.worker.side_check import CheckTimeoutError, Question, SideCheck
from llmreq.worker.verdict import Expectation, verdict


def expectation(claim: Claim) -> Expectation:
    """Compile the row's schemas. Raises InvalidSchemaError before any money is spent."""
    schema = None if claim.response_schema is None else compile_schema(claim.response_schema)
    tools = None if claim.tools is None else compile_tools(claim.tools)
    return Expectation(schema, tools, claim.allow_text)


@dataclass
class Checking:
    """Judges answers without stalling the calls beside them."""

    _side: SideCheck = field(default_factory=SideCheck)

    async def facts(self, claim: Claim, answer: Answer, expected: Expectation) -> dict[str, Any]:
        """The facts of a checked answer: outcome, response, parsed_response, validation_errors, repairs."""
        if _size(answer) <= (INLINE_PATTERN_CHARS if expected.is_costly else INLINE_CHECK_CHARS):
            return verdict(answer, expected)
        question = Question(answer, claim.response_schema, claim.tools, claim.allow_text)
        try:
            return await self._side.facts(question)
        except CheckTimeoutError:
            return _not_judged(answer)

    async def close(self) -> None:
        """End the process beside, if it was needed."""
        await self._side.close()


def _size(answer: Answer) -> int:
    # A tool call's arguments were decoded with the response; their text is not there any more, but their size is near it.
    return len(answer.text or "") + sum(
        len(call.raw or "") or _chars(call.params) for call in answer.tool_calls
    )


def _chars(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + 4 + _chars(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(2 + _chars(inner) for inner in value)
    return 8


def _not_judged(answer: Answer) -> dict[str, Any]:
    message = f"could not be judged within {SIDE_CHECK_SECONDS:g} s: simplify the schema's patterns"
    error = {"type": "schema_error", "field": "$", "message": message, "rule": "time", "schema_path": ""}
    return {
        "response": storable_text(answer.text or "")[0],
        "outcome": ErrorCode.SCHEMA_MISMATCH,
        "validation_errors": [error],
        "error_message": message,
    }
