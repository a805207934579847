"""What a row demands of its answer, and whether the answer meets it, as facts for the report. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmreq.check.check import Checked, check_text, check_tool_calls
from llmreq.check.schemas import CompiledSchema
from llmreq.check.tools import ToolSchemas, compile_tools
from llmreq.limits import MAX_ANSWER_BYTES
from llmreq.wire.outcome import Answer


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the row demands of its answer, compiled."""

    schema: CompiledSchema | None
    tools: ToolSchemas | None
    allow_text: bool

    @property
    def compiled(self) -> list[CompiledSchema]:
        """Every schema in it."""
        tools = self.tools.by_name.values() if self.tools else ()
        return [*tools] if self.schema is None else [self.schema, *tools]

    @property
    def is_costly(self) -> bool:
        """Whether a `pattern` in it may take long on little text."""
        return any(each.pattern_chars < MAX_ANSWER_BYTES for each in self.compiled)

    @property
    def subschemas(self) -> int:
        """How many subschemas may look at one value of an answer."""
        return max((each.graph.expansion for each in self.compiled), default=1)


def verdict(answer: Answer, expected: Expectation) -> dict[str, Any]:
    """outcome, response, parsed_response, validation_errors and repairs of an answer that came whole. Never raises."""
    text = answer.text or ""
    checked: Checked
    if answer.tool_calls:
        checked = check_tool_calls(answer.tool_calls, expected.tools or compile_tools(None), answer.text)
    else:
        checked = check_text(text, schema=expected.schema, allow_text=expected.allow_text)
    return checked_facts(checked, text)


def checked_facts(checked: Checked, text: str) -> dict[str, Any]:
    """A check's result as facts for the report, which makes them storable."""
    facts: dict[str, Any] = {"response": text, "repairs": list(checked.repairs) or None}
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
