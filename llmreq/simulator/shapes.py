"""Answers and errors in each vendor's exact shape. Pure."""

from __future__ import annotations

from typing import Any

from llmreq.simulator.bill import Tokens


def openai_answer(
    id: str,
    model: str,
    text: str | None,
    tool: dict[str, Any] | None,
    finish: str,
    tokens: Tokens,
    refusal: str | None,
) -> dict[str, Any]:
    """A chat completion; usage in OpenAI's convention: details are parts of the totals."""
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": refusal}
    if tool is not None:
        message["tool_calls"] = [
            {
                "id": f"call_{id}",
                "type": "function",
                "function": {"name": tool["name"], "arguments": tool["arguments"]},
            }
        ]
    prompt = tokens.input + tokens.cache_read + tokens.cache_write_5m
    return {
        "id": f"chatcmpl-{id}",
        "object": "chat.completion",
        "created": 1_795_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": tokens.output,
            "total_tokens": prompt + tokens.output,
            "prompt_tokens_details": {
                "cached_tokens": tokens.cache_read,
                "cache_write_tokens": tokens.cache_write_5m,
            },
            "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
        },
        "service_tier": "default",
    }


def anthropic_answer(
    id: str, model: str, text: str | None, tool: dict[str, Any] | None, stop: str, tokens: Tokens
) -> dict[str, Any]:
    """A message; usage in Anthropic's convention: input buckets are disjoint."""
    content: list[dict[str, Any]] = []
    if text is not None:
        content.append({"type": "text", "text": text})
    if tool is not None:
        content.append(
            {"type": "tool_use", "id": f"toolu_{id}", "name": tool["name"], "input": tool["input"]}
        )
    return {
        "id": f"msg_{id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens.input,
            "cache_creation_input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
            "cache_creation": {
                "ephemeral_5m_input_tokens": tokens.cache_write_5m,
                "ephemeral_1h_input_tokens": tokens.cache_write_1h,
            },
            "cache_read_input_tokens": tokens.cache_read,
            "output_tokens": tokens.output,
            "output_tokens_details": {"thinking_tokens": tokens.reasoning},
            "service_tier": "standard",
        },
    }


_OPENAI_ERRORS: dict[str, tuple[int, str, str | None, str]] = {
    "http_400": (400, "invalid_request_error", "unsupported_parameter", "Unsupported parameter."),
    "http_401": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "http_403": (403, "invalid_request_error", None, "You do not have access to this resource."),
    "http_404": (404, "invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    "http_429": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    "http_500": (500, "server_error", None, "The server had an error while processing your request."),
    "http_503": (503, "server_error", None, "The engine is currently overloaded, please try again later."),
    "http_529": (503, "server_error", "slow_down", "Slow down."),
    "context_overflow": (400, "invalid_request_error", "context_length_exceeded", "maximum context length is 272000."),
}  # fmt: skip
_ANTHROPIC_ERRORS: dict[str, tuple[int, str, str]] = {
    "http_400": (400, "invalid_request_error", "Input should be a valid request."),
    "http_401": (401, "authentication_error", "invalid x-api-key"),
    "http_403": (403, "permission_error", "Your API key does not have permission to use this resource."),
    "http_404": (404, "not_found_error", "model: no-such-model"),
    "http_429": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "quota": (
        400,
        "invalid_request_error",
        "You have reached your specified API usage limits (spend limit).",
    ),
    "http_500": (500, "api_error", "Internal server error"),
    "http_503": (503, "api_error", "Service unavailable"),
    "http_529": (529, "overloaded_error", "Overloaded"),
    "context_overflow": (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
}


def error(wire: str, name: str, id: str, said: str | None = None) -> tuple[int, dict[str, Any]]:
    """(status, body) of an error; `said` replaces the vendor's sentence."""
    if wire == "openai":
        status, kind, code, message = _OPENAI_ERRORS[name]
        return status, {"error": {"message": said or message, "type": kind, "param": None, "code": code}}
    status, kind, message = _ANTHROPIC_ERRORS[name]
    return status, {
        "type": "error",
        "error": {"type": kind, "message": said or message},
        "request_id": f"req_{id}",
    }
