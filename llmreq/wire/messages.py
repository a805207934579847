"""Messages, tools and params as producers write them, taken into one shape before a vendor's.

Accepted besides our own: OpenAI's `tool_calls` and nested tools, Anthropic's `input_schema`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from llmreq.errors import InvalidRequestError

ROLES = ("system", "developer", "user", "assistant", "tool")

# The row's own columns and what only an operator decides: never from `params`.
_NOT_FROM_A_ROW = {
    "model", "messages", "system", "stream", "stream_options", "n", "tools", "tool_choice", "response_format", "output_config",
    "api_key", "base_url", "headers", "extra_headers", "url", "authorization", "max_output_tokens", "max_tokens",
    "max_completion_tokens",
}  # fmt: skip
_CAPS = {"max_output_tokens", "max_tokens", "max_completion_tokens"}


def checked_messages(messages: Any) -> Sequence[Mapping[str, Any]]:
    """The messages, or InvalidRequestError naming the first that is wrong."""
    if not isinstance(messages, list | tuple) or not messages:
        raise InvalidRequestError('messages must be a list of {"role","content"} with at least one entry')
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            raise InvalidRequestError(
                f"messages[{index}] must be an object with a role of {', '.join(ROLES)}"
            )
    return messages


def tool_calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An assistant turn's tool calls as {"id","tool_name","params"}. Raises InvalidRequestError."""
    given = message.get("tool_calls") or []
    if not isinstance(given, list | tuple):
        raise InvalidRequestError("tool_calls of an assistant message must be a list")
    return [_tool_call(call) for call in given]


def _tool_call(call: Any) -> dict[str, Any]:
    if not isinstance(call, Mapping):
        raise InvalidRequestError("tool_calls of an assistant message must be objects")
    function = call.get("function")
    if isinstance(function, Mapping):
        name, params = function.get("name"), function.get("arguments")
    else:
        name, params = call.get("tool_name"), call.get("params")
    if not isinstance(call.get("id"), str) or not isinstance(name, str):
        raise InvalidRequestError('a tool call of an assistant message must hold "id" and "tool_name"')
    if isinstance(params, str):
        try:
            params = orjson.loads(params or "{}")
        except ValueError:
            raise InvalidRequestError(f"the arguments of tool call {call['id']!r} are not JSON") from None
    if params is not None and not isinstance(params, dict):
        raise InvalidRequestError(f"the params of tool call {call['id']!r} must be an object")
    return {"id": call["id"], "tool_name": name, "params": params or {}}


def tools(given: Any) -> list[dict[str, Any]]:
    """The tools as {"name","description","parameters"}. Raises InvalidRequestError."""
    if given is not None and not isinstance(given, list | tuple):
        raise InvalidRequestError("tools must be a list of tool definitions")
    return [_tool(tool, index) for index, tool in enumerate(given or [])]


def _tool(tool: Any, index: int) -> dict[str, Any]:
    inner = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(inner, Mapping) or not (isinstance(inner.get("name"), str) and inner["name"]):
        raise InvalidRequestError(f"tools[{index}] must be an object with a name")
    schema = inner.get("parameters", inner.get("input_schema"))
    return {
        "name": inner["name"],
        "description": inner.get("description") or "",
        "parameters": {"type": "object", "properties": {}} if schema is None else schema,
    }


def tool_choice(given: Any) -> tuple[str, str | None]:
    """(auto | none | required | tool, name) from our form or either vendor's."""
    if isinstance(given, str):
        word = {"any": "required"}.get(given, given)
        if word in ("auto", "none", "required"):
            return word, None
    elif isinstance(given, Mapping):
        function = given.get("function")
        name = function.get("name") if isinstance(function, Mapping) else given.get("name")
        if isinstance(name, str):
            return "tool", name
        kind = given.get("type")
        word = {"any": "required"}.get(kind, kind) if isinstance(kind, str) else ""
        if word in ("auto", "none", "required"):
            return word, None
    raise InvalidRequestError('tool_choice must be "auto", "none", "required" or {"name": …}')


def params(given: Any) -> dict[str, Any]:
    """The producer's params without the output cap. Raises InvalidRequestError for what a row may not decide."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidRequestError("params must be an object")
    for name in given:
        low = str(name).lower()
        if (
            low in _NOT_FROM_A_ROW - _CAPS
            or "header" in low
            or ("key" in low.split("_") and low != "prompt_cache_key")
        ):
            raise InvalidRequestError(
                f"params may not hold {name!r}: it has its own column or belongs to the operator"
            )
    return {name: value for name, value in given.items() if name not in _CAPS}


def text_of(content: Any) -> str:
    """A message's content as plain text. Raises InvalidRequestError."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        said = [block.get("text") if isinstance(block, Mapping) else block for block in content]
        return "\n\n".join(text for text in said if isinstance(text, str))
    return "" if content is None else json_text(content)


def tool_call_id(message: Mapping[str, Any]) -> str:
    """The call that a tool turn answers. Raises InvalidRequestError."""
    id = message.get("tool_call_id")
    if not isinstance(id, str):
        raise InvalidRequestError('a message of role tool must hold the "tool_call_id" that it answers')
    return id


def schema_instruction(schema: Any) -> str:
    """For providers that take no schema: what to answer, as a system message."""
    return (
        "Answer with one JSON value and nothing else: no explanation, no Markdown. It must be valid against this JSON Schema:\n"
        + json_text(schema)
    )


def json_text(value: Any) -> str:
    """A value of a row as JSON text. Raises InvalidRequestError."""
    return encoded(value).decode()


def encoded(value: Any) -> bytes:
    """The value as JSON. Raises InvalidRequestError for what nests too deep.

    A row may hold integers beyond 64 bits and more than 254 levels, both of which the fast encoder refuses.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        pass
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    except RecursionError:
        raise InvalidRequestError("the request nests too deep to be sent as JSON") from None
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"the request cannot be sent as JSON: {error}") from None
