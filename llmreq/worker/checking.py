"""Joins the pure checks to the event loop: what a claim expects, and whether an answer meets it.

Small answers are checked in place (microseconds); large ones in a thread, so that a 5 MB answer stalls nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmreq.check.check import Checked, check_text, check_tool_calls
from llmreq.check.decode import storable_text
from llmreq.check.schemas import CompiledSchema, compile_schema
from llmreq.check.tools import ToolSchemas, compile_tools
from llmreq.limits import INLINE_CHECK_BYTES
from llmreq.wire.outcome import Answer
from llmreq.worker.engine import Claim


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the row demands of its answer, compiled."""

    schema: CompiledSchema | None
    tools: ToolSchemas | None
    allow_text: bool


async def expectation(claim: Claim) -> Expectation:
    """Compile the row's schemas. Raises InvalidSchemaError before any money is spent."""
    schema = None if claim.response_schema is None else compile_schema(claim.response_schema)
    tools = None if claim.tools is None else compile_tools(claim.tools)
    return Expectation(schema, tools, claim.allow_text)


async def check_answer(answer: Answer, expected: Expectation) -> dict[str, Any]:
    """The facts of a checked answer: outcome, parsed_response, validation_errors, repairs."""
    if len(answer.text or "") > INLINE_CHECK_BYTES:
        return await asyncio.to_thread(_check, answer, expected)
    return _check(answer, expected)


def _check(answer: Answer, expected: Expectation) -> dict[str, Any]:
    text = answer.text or ""
    checked: Checked
    if answer.tool_calls:
        checked = check_tool_calls(answer.tool_calls, expected.tools or compile_tools(None), answer.text)
    else:
        checked = check_text(text, schema=expected.schema, allow_text=expected.allow_text)
    return checked_facts(checked, text)


def checked_facts(checked: Checked, text: str) -> dict[str, Any]:
    """A check's result as facts for the report, storable in Postgres."""
    facts: dict[str, Any] = {"response": storable_text(text)[0], "repairs": list(checked.repairs) or None}
    if checked.code is None:
        return {**facts, "outcome": "completed", "parsed_response": checked.parsed}
    return {
        **facts,
        "outcome": checked.code,
        "validation_errors": list(checked.errors),
        "error_message": _summary(checked.errors),
    }


def _summary(errors: Sequence[Mapping[str, Any]]) -> str:
    first = errors[0]
    where = f"{first['field']}: " if first.get("field") else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}{first['message']}{more}"
