"""What the simulated model says to a question under a fault, and the same in each vendor's shape. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from llmreq.simulator import shapes
from llmreq.simulator.answers import broken, instance, sentence
from llmreq.simulator.bill import Call
from llmreq.simulator.faults import Fault
from llmreq.simulator.question import Question


def said(asked: Question, fault: Fault) -> tuple[str | None, dict[str, Any] | None, str, str | None]:
    """(text, tool call, finish: stop | cut | filter | refused, refusal) of one answer."""
    good = (
        sentence(asked.conversation)
        if asked.schema is None
        else orjson.dumps(instance(asked.schema)).decode()
    )
    match fault.name:
        case "broken_json":
            return (
                good[: max(1, len(good) - 3)] if good.startswith("{") else '{"answer": "cut sho',
                None,
                "stop",
                None,
            )
        case "fenced_json":
            return f"```json\n{good}\n```", None, "stop", None
        case "prose_json":
            return f"Here is what you asked for:\n{good}\nAnything else?", None, "stop", None
        case "wrong_schema":
            return orjson.dumps(broken(asked.schema or {})).decode(), None, "stop", None
        case "truncated":
            return good[: len(good) // 2], None, "cut", None
        case "refusal":
            return None, None, "refused", "I can't help with that."
        case "content_filter":
            return None, None, "filter", None
        case "empty":
            return None, None, "stop", None
        case "huge":
            return (
                orjson.dumps(["x" * 100] * int(fault.number("size", 5_000_000) / 103)).decode(),
                None,
                "stop",
                None,
            )
        case "null_byte":
            return '{"text": "a\\u0000b c"}', None, "stop", None
        case "lone_surrogate":
            return '{"text": "a \\ud800 c"}', None, "stop", None
        case "pathological":
            return (
                orjson.dumps({"text": "a" * int(fault.number("length", 5000)) + "!"}).decode(),
                None,
                "stop",
                None,
            )
        case "text":
            return fault.settings["text"], None, "stop", None
    if asked.tool is not None:
        name, schema = asked.tool
        value = instance(schema)
        return None, {"name": name, "input": value, "arguments": orjson.dumps(value).decode()}, "tool", None
    return good, None, "stop", None


_OPENAI_FINISH = {
    "stop": "stop",
    "cut": "length",
    "filter": "content_filter",
    "refused": "stop",
    "tool": "tool_calls",
}
_ANTHROPIC_FINISH = {
    "stop": "end_turn",
    "cut": "max_tokens",
    "filter": "refusal",
    "refused": "refusal",
    "tool": "tool_use",
}


def shape(
    wire: str,
    call: Call,
    asked: Question,
    text: str | None,
    tool: dict[str, Any] | None,
    finish: str,
    refusal: str | None,
) -> dict[str, Any]:
    if wire == "openai":
        return shapes.openai_answer(
            call.id, asked.model, text, tool, _OPENAI_FINISH[finish], call.tokens, refusal
        )
    return shapes.anthropic_answer(call.id, asked.model, text, tool, _ANTHROPIC_FINISH[finish], call.tokens)
