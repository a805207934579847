"""Anthropic Messages. Source: the vendor's SDK types, late 2026."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmreq.errors import ErrorCode, InvalidRequestError
from llmreq.wire import messages as common
from llmreq.wire.failures import decoded, http_failure, quoted, raw_text, request_id, unreadable
from llmreq.wire.outcome import (
    Answer,
    Billed,
    Call,
    Failure,
    HttpRequest,
    HttpResponse,
    ToolCall,
    Usage,
    counted,
    counted_part,
    named_tier,
)
from llmreq.wire.provider import Provider
from llmreq.wire.rate_headers import rate_headers
from llmreq.wire.schema_dialects import for_anthropic

_SAMPLING = ("temperature", "top_p", "top_k")
# The version that still has sampling settings, and the models that still take them.
_WITH_SAMPLING, _CURRENT = "2023-06-01", "2026-10-21"
_OLD_MODELS = (
    "claude-3",
    "claude-haiku-4-5",
    "claude-sonnet-4-5",
    "claude-sonnet-4-6",
    "claude-opus-4-5",
    "claude-opus-4-6",
)
_DROPPED = (
    "seed",
    "reasoning_effort",
    "verbosity",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
)
"""Common names this API has no word for."""


class Anthropic:
    """The wire format's two functions."""

    @staticmethod
    def build(provider: Provider, call: Call) -> HttpRequest:
        """POST {base_url}/v1/messages. Raises InvalidRequestError for what cannot be said."""
        params = common.params(call.params)
        given = common.checked_messages(call.messages)
        system = [common.text_of(m.get("content")) for m in given if m["role"] in ("system", "developer")]
        body: dict[str, Any] = {
            "model": call.model,
            "max_tokens": call.max_output_tokens,
            "messages": _turns([m for m in given if m["role"] not in ("system", "developer")]),
        }
        config: dict[str, Any] = {}
        if call.response_schema is not None:
            compiled = for_anthropic(call.response_schema) if provider.native_schema else None
            if compiled is not None and compiled.schema is not None:
                config["format"] = {"type": "json_schema", "schema": compiled.schema}
            else:
                system.append(common.schema_instruction(call.response_schema))
        if system:
            body["system"] = "\n\n".join(system)
        if call.tools:
            body["tools"] = [
                {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
                for tool in common.tools(call.tools)
            ]
            if call.tool_choice is not None:
                body["tool_choice"] = _choice(call.tool_choice)
        version = _translate(call, params, body, config)
        headers = {"content-type": "application/json", "anthropic-version": version}
        headers |= Anthropic.key_headers(provider)
        return HttpRequest(f"{provider.base_url}/v1/messages", headers, common.encoded(body))

    @staticmethod
    def key_headers(provider: Provider) -> dict[str, str]:
        """The headers that hold the key, if there is one."""
        return {"x-api-key": provider.api_key} if provider.api_key else {}

    @staticmethod
    def parse(provider: Provider, response: HttpResponse, now: float) -> Answer:
        """Status, then refusal, then stop reason, then text; never raises."""
        if not 200 <= response.status < 300:
            return http_failure(provider, response, now)
        body = decoded(response)
        blocks = body.get("content") if body is not None else None
        if body is None or not isinstance(blocks, list):
            return unreadable(provider, response)
        found = [block for block in blocks if isinstance(block, Mapping)]
        text = (
            "".join(b["text"] for b in found if b.get("type") == "text" and isinstance(b.get("text"), str))
            or None
        )
        calls = tuple(_tool_call(b, i) for i, b in enumerate(found) if b.get("type") == "tool_use")
        stop = body.get("stop_reason")
        stop = stop if isinstance(stop, str) else None
        usage = _usage(body.get("usage"))
        billed = Billed.BY_USAGE if usage is not None else Billed.UPPER_BOUND
        if stop == "refusal" and not found:
            # Declined before any output: the counts are shown and not charged.
            usage, billed = None, Billed.NOT_BILLED
        return Answer(
            text=text,
            tool_calls=calls,
            usage=usage,
            billed=billed,
            finish_reason=stop,
            model=body["model"] if isinstance(body.get("model"), str) else None,
            provider_request_id=request_id(response),
            service_tier=named_tier(body.get("usage")),
            http_status=response.status,
            failure=_failure(body, stop, text, calls),
            rate_headers=rate_headers(response.headers, now) or None,
        )


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """User and assistant turns; the results of one round of tools go together into one user turn."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "tool":
            result = {
                "type": "tool_result",
                "tool_use_id": common.tool_call_id(message),
                "content": common.text_of(message.get("content")),
            }
            if turns and turns[-1].get("results"):
                turns[-1]["content"].append(result)
            else:
                turns.append({"role": "user", "content": [result], "results": True})
            continue
        calls = common.tool_calls(message) if message["role"] == "assistant" else []
        content: Any = _blocks(message.get("content"))
        if calls:
            blocks = (
                [{"type": "text", "text": content}]
                if isinstance(content, str) and content
                else list(content or [])
            )
            content = [
                *blocks,
                *(
                    {"type": "tool_use", "id": c["id"], "name": c["tool_name"], "input": c["params"]}
                    for c in calls
                ),
            ]
        turns.append({"role": message["role"], "content": content})
    for turn in turns:
        turn.pop("results", None)
    return turns


def _blocks(content: Any) -> Any:
    """Text stays text; OpenAI's image parts become this API's."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else common.text_of(content)
    return [
        _image(block) if isinstance(block, Mapping) and block.get("type") == "image_url" else block
        for block in content
    ]


def _image(block: Mapping[str, Any]) -> dict[str, Any]:
    given = block.get("image_url")
    url = given.get("url") if isinstance(given, Mapping) else given
    if not isinstance(url, str) or not url:
        raise InvalidRequestError('a content part of type image_url must hold {"image_url": {"url": …}}')
    if url.startswith("data:"):
        media, _, data = url.removeprefix("data:").partition(";base64,")
        return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}
    return {"type": "image", "source": {"type": "url", "url": url}}


def _choice(given: Any) -> dict[str, Any]:
    word, name = common.tool_choice(given)
    return {"type": "tool", "name": name} if word == "tool" else {"type": {"required": "any"}.get(word, word)}


def _translate(call: Call, params: dict[str, Any], body: dict[str, Any], config: dict[str, Any]) -> str:
    """Common names into this API's; returns the API version that has them."""
    effort = params.pop("effort", params.get("reasoning_effort"))
    if effort in ("low", "medium", "high", "xhigh", "max"):
        config["effort"] = effort
    stop = params.pop("stop", None)
    if stop is not None:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if params.pop("cache", False):
        body["cache_control"] = {"type": "ephemeral"}
    if "parallel_tool_calls" in params:
        single = not params.pop("parallel_tool_calls")
        choice = body.get("tool_choice", {"type": "auto"})
        if single and "tools" in body and choice["type"] != "none":  # `none` has no such field
            body["tool_choice"] = {**choice, "disable_parallel_tool_use": True}
    wanted = [name for name in _SAMPLING if name in params]
    keeps_sampling = bool(wanted) and call.model.startswith(_OLD_MODELS)
    for name in (*_DROPPED, *(() if keeps_sampling else _SAMPLING)):
        params.pop(name, None)
    if "temperature" in params:
        params.pop("top_p", None)  # these models take one of the two
    if config:
        body["output_config"] = config
    body |= params
    return _WITH_SAMPLING if keeps_sampling else _CURRENT


def _tool_call(block: Mapping[str, Any], index: int) -> ToolCall:
    id, name, params = block.get("id"), block.get("name"), block.get("input")
    id = id if isinstance(id, str) and id else f"toolu_{index}"
    name = name if isinstance(name, str) else ""
    if isinstance(params, dict):
        return ToolCall(id, name, params)
    return ToolCall(id, name, None, params if isinstance(params, str) else raw_text(params))


def _usage(given: Any) -> Usage | None:
    """Anthropic's buckets are disjoint already; a write without its split is a 5-minute one.

    None when a total is missing or a count is none: then nobody knows the bill.
    """
    fresh, output = counted(given, "input_tokens"), counted(given, "output_tokens")
    if fresh is None or output is None:
        return None
    written, read = (
        counted_part(given, name) for name in ("cache_creation_input_tokens", "cache_read_input_tokens")
    )
    hour = counted_part(given.get("cache_creation"), "ephemeral_1h_input_tokens")
    if written is None or read is None or hour is None:
        return None
    hour = min(hour, written)
    return Usage(
        input_tokens=fresh,
        cache_read_tokens=read,
        cache_write_5m_tokens=written - hour,
        cache_write_1h_tokens=hour,
        output_tokens=output,
        reasoning_tokens=min(counted(given.get("output_tokens_details"), "thinking_tokens") or 0, output),
    )


def _failure(
    body: Mapping[str, Any], stop: str | None, text: str | None, calls: tuple[ToolCall, ...]
) -> Failure | None:
    if stop == "refusal":
        details = body.get("stop_details")
        details = details if isinstance(details, Mapping) else {}
        category, explanation = (
            quoted(value, 300) if isinstance(value := details.get(name), str) and value else None
            for name in ("category", "explanation")
        )
        said = explanation or category or "no reason given"
        return Failure(ErrorCode.REFUSED, f"the model refused: {said}", {"category": category})
    if stop in ("max_tokens", "model_context_window_exceeded"):
        return Failure(ErrorCode.TRUNCATED, "the answer ran into its output cap", {"finish_reason": stop})
    if text is None and not calls:
        return Failure(
            ErrorCode.EMPTY_RESPONSE, "the answer holds no text and no tool call", {"finish_reason": stop}
        )
    return None
