"""A vendor's request body, read into what the simulator needs to answer; refused as strictly as the vendor would. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from llmreq.simulator.embedding import Wanted

_REASONING = ("o1", "o3", "o4", "gpt-5", "gpt-6")
_STRICT_REFUSES = {
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "dependentRequired",
    "dependentSchemas",
    "default",
}


class RefusedError(Exception):
    """The vendor answers 400 with this message."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked. `schema`: the answer's; `tool`: (name, parameter schema) to call now; `texts`: the user's."""

    model: str
    texts: tuple[str, ...]
    prompt_bytes: int
    schema: Any = None
    tool: tuple[str, Any] | None = None
    conversation: str = ""
    output_cap: int = 0
    embedding: Wanted | None = None


def read_openai(body: Any) -> Question:
    """Chat Completions. Raises RefusedError."""
    model, messages = _model_and_messages(body)
    for index, message in enumerate(messages):
        role = message.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool"):
            raise RefusedError(
                f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'tool', and 'developer'."
            )
        if role == "tool" and not isinstance(message.get("tool_call_id"), str):
            raise RefusedError(f"Missing parameter 'messages[{index}].tool_call_id'")
        for call in message.get("tool_calls") or []:
            if (
                not isinstance(call.get("function", {}).get("arguments"), str)
                or call.get("type") != "function"
            ):
                raise RefusedError(
                    f"Invalid type for 'messages[{index}].tool_calls[0].function.arguments': expected a string"
                )
    if model.startswith(_REASONING) and "max_tokens" in body:
        raise RefusedError(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
    if (
        model.startswith(_REASONING)
        and body.get("reasoning_effort") != "none"
        and body.get("temperature", 1) != 1
    ):
        raise RefusedError("Unsupported value: 'temperature' does not support this value with this model.")
    schema = None
    wanted = body.get("response_format")
    if wanted is not None:
        described = wanted.get("json_schema") or {}
        if wanted.get("type") == "json_schema":
            if not described.get("name"):
                raise RefusedError("Missing required parameter: 'response_format.json_schema.name'.")
            schema = described.get("schema")
            if described.get("strict"):
                _check_strict(schema)
    tools = [(t["function"]["name"], t["function"].get("parameters", {})) for t in body.get("tools") or []]
    answered = any(message.get("role") == "tool" for message in messages)
    tool = tools[0] if tools and not answered and body.get("tool_choice") != "none" else None
    return _question(body, model, messages, schema, tool)


def read_embedding(body: Any) -> Question:
    """Embeddings: a text or a list of texts. Raises RefusedError."""
    model, given = body.get("model"), body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(model, str) or not model:
        raise RefusedError("you must provide a model parameter")
    if not isinstance(texts, list) or not 1 <= len(texts) <= 2048:
        raise RefusedError("'$.input' is invalid: give a text, or a list of 1 to 2048 texts")
    if any(not isinstance(text, str) or not text for text in texts):
        raise RefusedError("'$.input' is invalid: each must be a text that is not empty")
    wanted = Wanted(tuple(texts), int(body.get("dimensions", 256)), body.get("encoding_format") == "base64")
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return Question(model, tuple(texts), size, conversation=texts[0], embedding=wanted)


def read_anthropic(body: Any, version: str) -> Question:
    """Messages. Raises RefusedError."""
    model, messages = _model_and_messages(body)
    if type(body.get("max_tokens")) is not int or body["max_tokens"] < 1:
        raise RefusedError("max_tokens: Field required")
    answered = False
    for index, message in enumerate(messages):
        if message.get("role") not in ("user", "assistant"):
            raise RefusedError(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        if content == "" or content is None:
            raise RefusedError(f"messages.{index}: content must be non-empty")
        for block in content if isinstance(content, list) else []:
            if block.get("type") == "tool_result":
                answered = True
                if not isinstance(block.get("tool_use_id"), str):
                    raise RefusedError(f"messages.{index}.content.0.tool_result.tool_use_id: Field required")
            if block.get("type") == "tool_use" and not isinstance(block.get("input"), dict):
                raise RefusedError(
                    f"messages.{index}.content.0.tool_use.input: Input should be a valid dictionary"
                )
    if version >= "2026-10-21":
        for name in ("temperature", "top_p", "top_k"):
            if name in body:
                raise RefusedError(f"{name}: Extra inputs are not permitted")
    for name in (
        "seed",
        "stop",
        "response_format",
        "max_completion_tokens",
        "parallel_tool_calls",
        "reasoning_effort",
    ):
        if name in body:
            raise RefusedError(f"{name}: Extra inputs are not permitted")
    described = (body.get("output_config") or {}).get("format")
    schema = described.get("schema") if described else None
    if schema is not None:
        _check_anthropic(schema)
    tools = [(t["name"], t["input_schema"]) for t in body.get("tools") or []]
    choice = (body.get("tool_choice") or {}).get("type")
    tool = tools[0] if tools and not answered and choice != "none" else None
    return _question(body, model, messages, schema, tool)


def _model_and_messages(body: Any) -> tuple[str, list[Mapping[str, Any]]]:
    if not isinstance(body, Mapping):
        raise RefusedError("We could not parse the JSON body of your request.")
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise RefusedError("you must provide a model parameter")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, Mapping) for m in messages):
        raise RefusedError("messages: at least one message is required")
    return model, messages


def _question(
    body: Mapping[str, Any],
    model: str,
    messages: list[Mapping[str, Any]],
    schema: Any,
    tool: tuple[str, Any] | None,
) -> Question:
    texts = tuple(_text(m.get("content")) for m in messages if m.get("role") == "user")
    return Question(
        model=model,
        texts=texts,
        prompt_bytes=len(orjson.dumps([body.get("system"), messages, body.get("tools"), schema])),
        schema=schema,
        tool=tool,
        conversation=texts[0] if texts else "",
        output_cap=_cap(body),
    )


def _cap(body: Mapping[str, Any]) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        if type(body.get(name)) is int:
            return int(body[name])
    return 0


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(block.get("text", "")) for block in content if isinstance(block, Mapping))
    return str(content or "")


def _check_strict(node: Any) -> None:
    if not isinstance(node, Mapping):
        return
    if _STRICT_REFUSES & node.keys():
        raise RefusedError(
            f"Invalid schema for response_format 'answer': '{min(_STRICT_REFUSES & node.keys())}' is not permitted."
        )
    if node.get("type") == "object":
        if node.get("additionalProperties") is not False:
            raise RefusedError(
                "Invalid schema for response_format 'answer': 'additionalProperties' is required to be supplied and to be false."
            )
        if set(node.get("required", ())) != set(node.get("properties", {})):
            raise RefusedError(
                "Invalid schema for response_format 'answer': 'required' is required to include every key in properties."
            )
    for child in [
        *node.get("properties", {}).values(),
        *node.get("$defs", {}).values(),
        *node.get("anyOf", ()),
        node.get("items"),
    ]:
        _check_strict(child)


def _check_anthropic(node: Any) -> None:
    if not isinstance(node, Mapping):
        return
    for word in (
        "minimum",
        "maximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "maxItems",
        "oneOf",
        "exclusiveMinimum",
    ):
        if word in node:
            raise RefusedError(
                f"output_config.format.schema: For '{node.get('type')}' type, property '{word}' is not supported"
            )
    if node.get("type") == "object" and node.get("additionalProperties") is not False:
        raise RefusedError(
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"
        )
    for child in [
        *node.get("properties", {}).values(),
        *node.get("$defs", {}).values(),
        *node.get("anyOf", ()),
        node.get("items"),
    ]:
        _check_anthropic(child)
