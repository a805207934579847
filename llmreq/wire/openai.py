"""OpenAI Chat Completions, and every server that speaks it. Source: the vendor's SDK types, late 2026."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from llmreq.errors import ErrorCode
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
from llmreq.wire.schema_dialects import for_openai

# Reasoning models refuse sampling settings unless they are told not to reason.
_REASONING = ("o1", "o3", "o4", "gpt-5", "gpt-6")
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs")
# With tools these take Chat Completions only without reasoning.
_TOOLS_WITHOUT_REASONING = ("gpt-5.6", "gpt-6-sol", "gpt-6-luna")


class OpenAI:
    """The wire format's two functions."""

    @staticmethod
    def build(provider: Provider, call: Call) -> HttpRequest:
        """POST {base_url}/chat/completions. Raises InvalidRequestError for what cannot be said."""
        params = common.params(call.params)
        body: dict[str, Any] = {"model": call.model, provider.max_tokens_field: call.max_output_tokens}
        sent = [_message(message) for message in common.checked_messages(call.messages)]
        if call.response_schema is not None:
            compiled = for_openai(call.response_schema) if provider.native_schema else None
            if compiled is not None and compiled.schema is not None:
                described = {"name": "answer", "schema": compiled.schema, "strict": compiled.strict}
                body["response_format"] = {"type": "json_schema", "json_schema": described}
            else:
                sent.insert(0, {"role": "system", "content": common.schema_instruction(call.response_schema)})
        body["messages"] = sent
        if call.tools:
            body["tools"] = [{"type": "function", "function": tool} for tool in common.tools(call.tools)]
            if call.tool_choice is not None:
                body["tool_choice"] = _choice(call.tool_choice)
        body |= _fitting(call, params)
        headers = {"content-type": "application/json"}
        headers |= OpenAI.key_headers(provider)
        return HttpRequest(f"{provider.base_url}/chat/completions", headers, common.encoded(body))

    @staticmethod
    def key_headers(provider: Provider) -> dict[str, str]:
        """The headers that hold the key, if there is one."""
        return {"authorization": f"Bearer {provider.api_key}"} if provider.api_key else {}

    @staticmethod
    def parse(provider: Provider, response: HttpResponse, now: float) -> Answer:
        """Status, then refusal, then finish reason, then text; never raises."""
        if not 200 <= response.status < 300:
            return http_failure(provider, response, now)
        body = decoded(response)
        choices = body.get("choices") if body is not None else None
        if body is None or not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return unreadable(provider, response)
        choice = choices[0]
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        usage = _usage(body.get("usage"))
        text = _text(message.get("content"))
        calls = _tool_calls(message.get("tool_calls"))
        finish = choice.get("finish_reason")
        finish = finish if isinstance(finish, str) else None
        return Answer(
            text=text,
            tool_calls=calls,
            usage=usage,
            billed=Billed.BY_USAGE if usage is not None else Billed.UPPER_BOUND,
            finish_reason=finish,
            model=body["model"] if isinstance(body.get("model"), str) else None,
            provider_request_id=request_id(response),
            service_tier=named_tier(body),
            http_status=response.status,
            failure=_failure(message, finish, text, calls),
            rate_headers=rate_headers(response.headers, now) or None,
        )


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message["role"], "content": message.get("content")}
    if message["role"] == "tool":
        said["tool_call_id"] = common.tool_call_id(message)
        said["content"] = common.text_of(message.get("content"))
    elif "name" in message:
        said["name"] = message["name"]
    calls = common.tool_calls(message) if message["role"] == "assistant" else []
    if calls:
        said["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["tool_name"], "arguments": common.json_text(call["params"])},
            }
            for call in calls
        ]
    return said


def _choice(given: Any) -> Any:
    word, name = common.tool_choice(given)
    return {"type": "function", "function": {"name": name}} if word == "tool" else word


def _fitting(call: Call, params: dict[str, Any]) -> dict[str, Any]:
    """The params this model takes."""
    if "effort" in params:
        params["reasoning_effort"] = params.pop("effort")
    if call.tools and call.model.startswith(_TOOLS_WITHOUT_REASONING):
        params.setdefault("reasoning_effort", "none")
    if call.model.startswith(_REASONING) and params.get("reasoning_effort") != "none":
        params = {name: value for name, value in params.items() if name not in _SAMPLING}
    return params


def _text(content: Any) -> str | None:
    if isinstance(content, list):  # Mistral's reasoning models send parts
        content = "".join(
            part["text"]
            for part in content
            if isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)
        )
    return content if isinstance(content, str) and content else None


def _tool_calls(given: Any) -> tuple[ToolCall, ...]:
    calls = []
    for index, call in enumerate(given if isinstance(given, list) else []):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        arguments = function.get("arguments")
        params, raw = _arguments(arguments)
        id, name = call.get("id"), function.get("name")
        calls.append(
            ToolCall(
                id if isinstance(id, str) and id else f"call_{index}",
                name if isinstance(name, str) else "",
                params,
                raw,
            )
        )
    return tuple(calls)


def _arguments(arguments: Any) -> tuple[dict[str, Any] | None, str | None]:
    """The argument text decoded; an object as it is (some local servers); else (None, the text)."""
    if isinstance(arguments, dict):
        return arguments, None
    if arguments is not None and not isinstance(arguments, str):
        return None, raw_text(arguments)
    text = arguments or ""
    try:
        params = orjson.loads(text or "{}")
    except ValueError:
        return None, text
    return (params, None) if isinstance(params, dict) else (None, text)


def _usage(given: Any) -> Usage | None:
    """Disjoint buckets from OpenAI's totals: cached and written tokens are a part of prompt_tokens there.

    None when a total is missing, a count is none, or parts are more than their whole: then nobody knows the bill.
    """
    prompt, completion = counted(given, "prompt_tokens"), counted(given, "completion_tokens")
    if prompt is None or completion is None:
        return None
    details, out = given.get("prompt_tokens_details"), given.get("completion_tokens_details")
    read, written = counted_part(details, "cached_tokens"), counted_part(details, "cache_write_tokens")
    if read is None or written is None or read + written > prompt:
        return None
    return Usage(
        input_tokens=prompt - read - written,
        cache_read_tokens=read,
        cache_write_5m_tokens=written,
        output_tokens=completion,
        reasoning_tokens=min(counted(out, "reasoning_tokens") or 0, completion),
    )


def _failure(
    message: Mapping[str, Any], finish: str | None, text: str | None, calls: tuple[ToolCall, ...]
) -> Failure | None:
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        return Failure(
            ErrorCode.REFUSED,
            f"the model refused: {quoted(refusal, 300)}",
            {"refusal": quoted(refusal, 2000)},
        )
    if finish == "content_filter":
        return Failure(ErrorCode.CONTENT_FILTERED, "the provider's content filter stopped the answer")
    if finish in ("length", "model_length"):
        return Failure(ErrorCode.TRUNCATED, "the answer ran into its output cap", {"finish_reason": finish})
    if text is None and not calls:
        return Failure(
            ErrorCode.EMPTY_RESPONSE, "the answer holds no text and no tool call", {"finish_reason": finish}
        )
    return None
