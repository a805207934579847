"""What a stored agent is: read from a file or an object, checked as a whole, written back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from llmreq.agent.hints import hint_problem
from llmreq.agent.source import read_object
from llmreq.check.decode import storable_json
from llmreq.check.messages import clip
from llmreq.check.schemas import compile_schema
from llmreq.errors import InvalidRequestError, InvalidSchemaError
from llmreq.limits import (
    LARGEST_OUTPUT_CAP,
    LARGEST_WINDOW_TOKENS,
    MAX_AGENT_BYTES,
    MAX_LABEL_CHARS,
    SMALLEST_CHUNK_TOKENS,
)
from llmreq.wire.messages import params as checked_params

QUALITIES = ("basic", "good", "premium")
CHUNK_BY = ("text", "records")
MERGE_STRATEGIES = ("concat", "merge", "first", "last", "reduce", "weighted_average")
EXECUTIONS = ("parallel", "sequential")
PAGE_FAILURES = ("fail", "partial")
OVERFLOWS = ("fail", "paginate", "compress")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_OUTPUT_CAPS = ("max_output_tokens", "max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDefinition:
    """One version of an agent, without its tenant and number; as `read_agent` gives it, it is valid.

    `context_tokens` is the window: content above it is cut into pages of `chunk_tokens`, of which neighbours share
    `overlap_tokens`. None leaves a choice to the request or the route; `merge_strategy` is never None.
    """

    name: str
    description: str | None = None
    system_prompt: str
    output_schema: dict[str, Any] | None = None
    provider: str | None = None
    model: str | None = None
    quality: str | None = None
    params: dict[str, Any] | None = None
    task_type: str | None = None
    chunk_tokens: int = 3000
    overlap_tokens: int = 0
    chunk_by: str = "text"
    merge_strategy: str = "concat"
    execution: str = "parallel"
    on_page_failure: str = "fail"
    context_tokens: int | None = None
    on_overflow: str = "paginate"
    max_output_tokens: int | None = None


def read_agent(text: str, *, name: str) -> AgentDefinition:
    """An agent from JSON or YAML (see `source.py`). `name` is its name unless the text says another.

    ValueError in one line that names the key, what is wrong, and what is allowed.
    """
    return _in_one_line(lambda: _checked(read_object(text), name))


def agent_of(document: Mapping[str, Any], *, name: str | None = None) -> AgentDefinition:
    """An agent from an object; keys that hold None count as left out. ValueError as of `read_agent`.

    An output cap inside `params` is taken out and becomes `max_output_tokens`.
    """
    return _in_one_line(lambda: _checked(document, name))


def agent_document(definition: AgentDefinition) -> dict[str, Any]:
    """The definition as an object for JSON or YAML, without what is None; `agent_of` gives the same definition back."""
    values = {field.name: getattr(definition, field.name) for field in fields(definition)}
    return {key: value for key, value in values.items() if value is not None}


def _in_one_line(read: Callable[[], AgentDefinition]) -> AgentDefinition:
    # What an error quotes may hold line breaks of every sort that Unicode has.
    try:
        return read()
    except ValueError as error:
        raise ValueError(" ".join(str(error).splitlines())) from None


def _checked(document: Mapping[str, Any], name: str | None) -> AgentDefinition:
    unknown = [key for key in document if key not in _READERS]
    if unknown:
        known = ", ".join(_READERS)
        raise ValueError(f"unknown key {clip(repr(unknown[0]), 60)}: an agent may have {known}")
    given = {"name": name, **{key: value for key, value in document.items() if value is not None}}
    _refuse_unstorable(given)
    given = _with_cap_lifted(given)
    for key in ("name", "system_prompt"):
        if given.get(key) is None:
            raise ValueError(f"{key} is missing")
    values = {key: _READERS[key](key, value) for key, value in given.items()}
    values.setdefault("merge_strategy", "merge" if "output_schema" in values else "concat")
    agent = AgentDefinition(**values)
    _refuse_contradictions(agent)
    return agent


def _refuse_unstorable(given: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(given, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass"))
    except (TypeError, ValueError, RecursionError):
        raise ValueError("the definition is not plain JSON, or nested too deep") from None
    if size > MAX_AGENT_BYTES:
        raise ValueError(f"the definition has {size:,} bytes; at most {MAX_AGENT_BYTES:,} are accepted")
    for key, value in given.items():
        if storable_json(value)[1]:
            raise ValueError(f"{key} holds U+0000 or half a surrogate pair, which Postgres cannot store")


def _with_cap_lifted(given: dict[str, Any]) -> dict[str, Any]:
    params = given.get("params")
    caps = [key for key in _OUTPUT_CAPS if key in params] if isinstance(params, Mapping) else []
    if not isinstance(params, Mapping) or not caps:
        return given
    if len(caps) > 1 or "max_output_tokens" in given:
        raise ValueError(f"params.{caps[-1]}: the output cap is given twice; keep max_output_tokens alone")
    rest = {key: value for key, value in params.items() if key != caps[0]}
    lifted = {key: value for key, value in given.items() if key != "params"}
    return {**lifted, **({"params": rest} if rest else {}), "max_output_tokens": params[caps[0]]}


def _refuse_contradictions(agent: AgentDefinition) -> None:
    if agent.model is not None and agent.quality is not None:
        raise ValueError("quality must be left out beside model: a tier chooses the model")
    if agent.overlap_tokens * 2 > agent.chunk_tokens:
        raise ValueError(
            f"overlap_tokens must be at most half of chunk_tokens ({agent.chunk_tokens}), not {agent.overlap_tokens}"
        )
    if agent.context_tokens is not None and agent.chunk_tokens > agent.context_tokens:
        raise ValueError(
            f"chunk_tokens ({agent.chunk_tokens}) must not be above context_tokens ({agent.context_tokens})"
        )


def _name(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(
            f"{key} must be 1 to 100 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit,"
            f" not {_shown(value)}"
        )
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} must be a text that is not empty, not {_shown(value)}")
    return value


def _label(key: str, value: Any) -> str:
    if len(_text(key, value)) > MAX_LABEL_CHARS:
        raise ValueError(f"{key} must have at most {MAX_LABEL_CHARS} characters, not {len(value)}")
    return str(value)


def _one_of(allowed: tuple[str, ...]) -> Callable[[str, Any], str]:
    def read(key: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{key} must be one of {', '.join(allowed)}, not {_shown(value)}")
        return value

    return read


def _whole(low: int, high: int) -> Callable[[str, Any], int]:
    def read(key: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{key} must be a whole number from {low:,} to {high:,}, not {_shown(value)}")
        return value

    return read


def _params(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be an object, not {_shown(value)}")
    try:
        return checked_params(value)
    except InvalidRequestError as error:
        raise ValueError(error.message) from None


def _schema(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be a JSON Schema, an object, not {_shown(value)}")
    try:
        compiled = compile_schema(value)
    except InvalidSchemaError as error:
        raise ValueError(f"{key}: {error.message}") from None
    if problem := hint_problem(compiled):
        raise ValueError(f"{key}: {problem}")
    return value


def _shown(value: Any) -> str:
    return clip(json.dumps(value, ensure_ascii=False), 60)


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "name": _name,
    "description": _text,
    "system_prompt": _text,
    "output_schema": _schema,
    "provider": _label,
    "model": _label,
    "quality": _one_of(QUALITIES),
    "params": _params,
    "task_type": _label,
    "chunk_tokens": _whole(SMALLEST_CHUNK_TOKENS, LARGEST_WINDOW_TOKENS),
    "overlap_tokens": _whole(0, LARGEST_WINDOW_TOKENS),
    "chunk_by": _one_of(CHUNK_BY),
    "merge_strategy": _one_of(MERGE_STRATEGIES),
    "execution": _one_of(EXECUTIONS),
    "on_page_failure": _one_of(PAGE_FAILURES),
    "context_tokens": _whole(SMALLEST_CHUNK_TOKENS, LARGEST_WINDOW_TOKENS),
    "on_overflow": _one_of(OVERFLOWS),
    "max_output_tokens": _whole(1, LARGEST_OUTPUT_CAP),
}
