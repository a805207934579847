"""What a producer may write into a row, and its form on the wire. Pure.

Checked here and not only by the table: a wrong row is named by its column and never costs a COPY the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, TypedDict
from uuid import UUID

import orjson

from llmreq.errors import InvalidRequestError
from llmreq.limits import LABEL_BYTES
from llmreq.producer.typed import answer_type

Value = str | int | bool | datetime | UUID


class NewRequest(TypedDict, total=False):
    """The columns a producer sets; all but the question (`messages` or `content`) have defaults.

    A column that is None is left to its default. `response_model` is no column: a Pydantic model class or a
    dataclass whose schema becomes `response_schema`; `Request.parsed_as` reads the answer into it.
    """

    messages: list[Any] | None
    content: str | None
    response_schema: Mapping[str, Any] | bool | None
    response_model: Any
    provider: str | None
    model: str | None
    tenant_id: str | None
    task_type: str | None
    tools: list[Any] | None
    tool_choice: Any
    params: Mapping[str, Any] | None
    context: Mapping[str, Any] | None
    priority: int | None
    dedupe_key: str | None
    id: UUID | str | None
    agent_id: str | None
    complexity: str | None
    kind: str | None
    quality: str | None
    allow_text: bool | None
    agent_name: str | None
    agent_version: int | None
    merge_strategy: str | None
    execution: str | None
    scheduled_at: datetime | str | None
    expires_at: datetime | str | None
    timeout_seconds: int | None
    max_attempts: int | None
    estimated_tokens: int | None
    on_unavailable: str | None
    on_overflow: str | None
    parent_id: UUID | str | None
    page: int | None
    run_id: UUID | str | None
    document_id: UUID | str | None
    chunk_id: UUID | str | None


def brief_request(
    turns: Sequence[Mapping[str, Any]] | str, max_tokens: int, columns: Mapping[str, Any]
) -> dict[str, Any]:
    """The row that asks for a brief of these turns. Raises InvalidRequestError."""
    if type(max_tokens) is not int or max_tokens < 1:
        raise InvalidRequestError(f"max_tokens must be a whole number above 0, not {max_tokens!r:.40}")
    asked = {"content": turns} if isinstance(turns, str) else {"messages": [dict(turn) for turn in turns]}
    params = {**(columns.get("params") or {}), "brief_tokens": max_tokens}
    return {**columns, **asked, "kind": "brief", "params": params}


def agent_request(
    tenant_id: str, agent_name: str, content: str, agent_version: int | None, columns: Mapping[str, Any]
) -> dict[str, Any]:
    """The row that asks for a stored agent's work on a text; version None is the newest."""
    return {
        **columns,
        "tenant_id": tenant_id,
        "agent_name": agent_name,
        "agent_version": agent_version,
        "content": content,
    }


def checked(columns: Mapping[str, Any]) -> dict[str, Value]:
    """The given columns as values for the database; JSON columns become text.

    Raises InvalidRequestError naming the column and what it may be.
    """
    values: dict[str, Value] = {}
    for name, given in columns.items():
        if name == "response_model":
            continue
        check = _COLUMNS.get(name)
        if check is None:
            raise InvalidRequestError(f"{name}: no such column; a request has {', '.join(_COLUMNS)}")
        if given is not None:
            try:
                values[name] = check(given)
            except (TypeError, ValueError) as problem:
                raise InvalidRequestError(f"{name}: {problem}") from None
    if (model := columns.get("response_model")) is not None:
        if "response_schema" in values:
            raise InvalidRequestError("give response_model or response_schema, not both")
        values["response_schema"] = answer_type(model).schema_text
    if not values.get("messages") and not values.get("content"):
        raise InvalidRequestError("the request holds no question: set messages or content")
    return values


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"must be text, not {_name(value)}")
    if "\0" in value:
        raise ValueError("holds a NUL character, which Postgres cannot store")
    value.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    return value


def _label(name: str) -> Callable[[Any], str]:
    most_bytes = LABEL_BYTES[name]

    def check(value: Any) -> str:
        if (size := len(_text(value).encode())) > most_bytes:
            raise ValueError(f"has {size:,} bytes; at most {most_bytes:,} are accepted")
        return str(value)

    return check


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {value!r}")
        return str(value)

    return check


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"must be a whole number, not {_name(value)}")
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}, not {value}")
        return value

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"must be true or false, not {_name(value)}")
    return value


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(_text(value))


def _time(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("needs a time zone, as in 2026-01-31T12:00:00+00:00")
    return moment


_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _json(*kinds: type, what: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if kinds and not isinstance(value, kinds):
            raise TypeError(f"must be {what}, not {_name(value)}")
        text = _json_text(value)
        if "\\u0000" in text and _ESCAPED_NUL.search(text):
            raise ValueError("holds a NUL character, which Postgres cannot store")
        return text

    return check


_NOTHING_OF_ITS_OWN = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def _json_text(value: Any) -> str:
    """The value as JSON, by the fast encoder where it can: half the time of checking a row.

    It refuses integers beyond 64 bits, deep nesting and keys that are numbers, which the other takes.
    """
    try:
        text = orjson.dumps(value, option=_NOTHING_OF_ITS_OWN).decode()
    except TypeError:
        text = "null"
    if "null" not in text:  # which it also writes for NaN
        return text
    try:
        text = _encode(value)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    text.encode()  # a lone surrogate is a ValueError
    return text


def _plain(value: Any) -> Any:
    """What the fast encoder takes besides JSON's own types."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"holds {_name(value)}, which is no JSON")


# Made once: json.dumps with options of its own makes an encoder at every call.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode


def _name(value: Any) -> str:
    return type(value).__name__


_SMALL = 2**31 - 1
_COLUMNS: dict[str, Callable[[Any], Value]] = {
    "messages": _json(list, tuple, what='a list of {"role","content"}'),
    "content": _text,
    "response_schema": _json(dict, bool, what="a JSON Schema"),
    "provider": _label("provider"),
    "model": _label("model"),
    "tenant_id": _label("tenant_id"),
    "task_type": _label("task_type"),
    "tools": _json(list, tuple, what="a list of tools"),
    "tool_choice": _json(what="JSON"),
    "params": _json(dict, what="an object"),
    "context": _json(dict, what="an object"),
    "priority": _integer(0, 9),
    "dedupe_key": _label("dedupe_key"),
    "id": _uuid,
    "agent_id": _label("agent_id"),
    "complexity": _one_of("simple", "medium", "complex"),
    "kind": _one_of("chat", "embedding", "brief"),
    "quality": _one_of("basic", "good", "premium"),
    "allow_text": _flag,
    "agent_name": _label("agent_name"),
    "agent_version": _integer(1, _SMALL),
    "merge_strategy": _one_of("concat", "merge", "first", "last", "reduce", "weighted_average"),
    "execution": _one_of("parallel", "sequential"),
    "scheduled_at": _time,
    "expires_at": _time,
    "timeout_seconds": _integer(1, 3600),
    "max_attempts": _integer(1, 100),
    "on_unavailable": _one_of("wait", "fail", "degrade"),
    "on_overflow": _one_of("fail", "paginate", "compress"),
    "estimated_tokens": _integer(1, 2**31 - 1),
    "parent_id": _uuid,
    "page": _integer(0, _SMALL),
    "run_id": _uuid,
    "document_id": _uuid,
    "chunk_id": _uuid,
}
