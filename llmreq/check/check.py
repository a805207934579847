"""Is this the answer that was asked for? Parse, then schema; every fault is a record (design 3.3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from llmreq.check.decode import decode, decode_error, is_deep, storable_json, storable_text
from llmreq.check.messages import clip
from llmreq.check.repair import Peeled, peel, peel_fence
from llmreq.check.schemas import CompiledSchema
from llmreq.check.tools import ToolSchemas
from llmreq.check.validate import schema_errors
from llmreq.errors import ErrorCode
from llmreq.limits import MAX_JSON_DEPTH, MAX_NAME_CHARS, MAX_VALIDATION_ERRORS
from llmreq.wire.outcome import ToolCall

_NUL = "\\u0000"


@dataclass(frozen=True, slots=True)
class Checked:
    """The verdict: good when `code` is None.

    `is_json` tells a decoded `null` from prose, whose `parsed` is None too. `errors` and `repairs` are the
    records for `validation_errors` and the ledger; all of it can be stored as jsonb.
    """

    parsed: Any = None
    is_json: bool = False
    errors: tuple[dict[str, Any], ...] = ()
    repairs: tuple[dict[str, Any], ...] = ()
    code: ErrorCode | None = None


def check_text(text: str, *, schema: CompiledSchema | None = None, allow_text: bool = False) -> Checked:
    """Check an answer's text. Never raises.

    Without a schema, and with one and `allow_text`, prose is a good answer; what starts with `{` or `[` must
    be JSON. U+0000 in a decoded value becomes U+FFFD, with a record in `repairs`.
    """
    if schema is None or allow_text:
        bare = _bare(text, fence_must_decode=schema is None)
        if not bare.startswith(("{", "[")):
            return Checked()
    value = decode(text)
    repairs: tuple[dict[str, Any], ...] = ()
    if value.error is not None:
        peeled = peel(text)
        value, repairs = decode(peeled.text, whole=text, offset=peeled.offset), peeled.repairs
    if value.error is not None:
        return Checked(errors=(value.error,), repairs=repairs, code=ErrorCode.MALFORMED_JSON)
    errors = schema_errors(schema, value.value, chars=len(text)) if schema is not None else []
    if errors:
        return Checked(None, True, tuple(errors), repairs, ErrorCode.SCHEMA_MISMATCH)
    if _NUL not in text:
        return Checked(value.value, True, (), repairs)
    parsed, record = _stored(value.value)
    return Checked(parsed, True, (), (*repairs, *record))


def check_tool_calls(
    tool_calls: Sequence[ToolCall], tools: ToolSchemas, final_text: str | None = None
) -> Checked:
    """Check each call's name and parameters. Never raises.

    `parsed` is `{"tool_calls": [{"id","tool_name","params"}], "final_response": text, decoded JSON or null}`;
    the final text beside tool calls is commentary: it is decoded when it is JSON and never fails the answer.
    """
    # Cleaned first: what is checked is what will be stored, and a lone surrogate cannot stop the validator.
    calls = [{"id": c.id, "tool_name": c.tool_name, "params": c.params} for c in tool_calls]
    answer, record = _stored({"tool_calls": calls, "final_response": None})
    errors: list[dict[str, Any]] = []
    for index, (call, clean) in enumerate(zip(tool_calls, answer["tool_calls"], strict=True)):
        errors.extend(_call_errors(call, clean["params"], tools, f"tool_calls[{index}]"))
        if len(errors) > MAX_VALIDATION_ERRORS:
            errors = errors[:MAX_VALIDATION_ERRORS]
            errors.append(_error("$", "more errors are not listed", "too_many_errors"))
            break
    if errors:
        malformed = any(error["type"] == "json_decode_error" for error in errors)
        code = ErrorCode.MALFORMED_JSON if malformed else ErrorCode.SCHEMA_MISMATCH
        return Checked(None, False, tuple(errors), record, code)
    final, final_record = _final_response(final_text)
    return Checked({**answer, "final_response": final}, True, (), (*record, *final_record))


def _final_response(text: str | None) -> tuple[Any, tuple[dict[str, Any], ...]]:
    if text is None:
        return None, ()
    checked = check_text(text)
    return (checked.parsed, checked.repairs) if checked.is_json else _stored(text)


def _bare(text: str, *, fence_must_decode: bool) -> str:
    """What an answer that may be prose starts with, a fence aside.

    Without a schema a fence may hold any code: it counts only when it is JSON.
    """
    fenced = peel_fence(text)
    if fence_must_decode and _has_fence(fenced) and decode(fenced.text).error is not None:
        return text.strip()
    return fenced.text.strip()


def _has_fence(peeled: Peeled) -> bool:
    return any(repair["type"] == "fence" for repair in peeled.repairs)


def _stored(value: Any) -> tuple[Any, tuple[dict[str, Any], ...]]:
    if _is_storable(value):
        return value, ()
    parsed, changed = storable_json(value)
    return parsed, ({"type": "unstorable_characters", "replaced_in": changed},) if changed else ()


def _is_storable(value: Any) -> bool:
    """Found by encoding, a fiftieth of the walk's time; False where only the walk can tell."""
    try:
        return _NUL.encode() not in orjson.dumps(value)
    except TypeError:
        return False


def _call_errors(call: ToolCall, params: Any, tools: ToolSchemas, where: str) -> list[dict[str, Any]]:
    schema = tools.by_name.get(call.tool_name)
    if schema is None:
        name = clip(call.tool_name, MAX_NAME_CHARS)
        known = clip(", ".join(tools.by_name), 200) or "none was offered"
        return [_error(f"{where}.tool_name", f"'{name}' is no offered tool; must be one of: {known}", "enum")]
    if params is None:
        return [_unreadable(call.raw or "", f"{where}.params")]
    size = _size(params)
    if size is None:
        message = f"nested deeper than {MAX_JSON_DEPTH} levels"
        return [decode_error(message, call.raw or "", 0, field=f"{where}.params")]
    return schema_errors(schema, params, chars=size, prefix=f"{where}.params")


def _unreadable(raw: str, field: str) -> dict[str, Any]:
    error = decode(raw).error
    if error is None:  # JSON, but not the object that parameters are
        return decode_error("parameters must be a JSON object", raw, 0, field=field)
    return {**error, "field": field}


def _size(params: Any) -> int | None:
    """Bytes of the parameters as JSON; None when they nest too deep to be one."""
    try:
        return len(orjson.dumps(params))
    except TypeError:  # integers beyond 64 bits, or many levels
        return None if is_deep(params) else len(json.dumps(params))


def _error(field: str, message: str, rule: str) -> dict[str, Any]:
    return {
        "type": "schema_error",
        "field": storable_text(field)[0],
        "message": message,
        "rule": rule,
        "schema_path": "",
    }
