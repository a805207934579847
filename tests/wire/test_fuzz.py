"""Whatever a row or a provider holds: a request or a named refusal, an answer or a named failure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmreq.errors import InvalidRequestError, LlmreqError
from llmreq.limits import MAX_RETRY_AFTER_SECONDS
from llmreq.wire.formats import wire_for
from llmreq.wire.outcome import Answer, Billed, Call, HttpResponse, Usage
from llmreq.wire.provider import Provider
from llmreq.wire.rate_headers import RateHeaders
from tests.check.schema_strategies import schemas

KEY = "plainkey-Q7w8E9r0T1y2"
OPENAI = Provider("openai", "openai", "https://o.test/v1", KEY)
ANTHROPIC = Provider("anthropic", "anthropic", "https://a.test", KEY)
PROVIDERS = st.sampled_from([OPENAI, ANTHROPIC])
BOTH = pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
NOW = 1_795_000_000.0
USER = {"role": "user", "content": "hi"}
TOOL = {"name": "find"}

# Numbers that a codec may refuse, and characters that UTF-8, JSON or Postgres do.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**53, 2**64, -(2**70), 1e308, "", "\0", "\ud800", "data:", "data:;base64,", KEY])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)


def json_of(names: list[str]) -> st.SearchStrategy[Any]:
    """Any JSON, its objects mostly of these names."""
    keys = st.sampled_from(names) | st.text(max_size=3)
    return st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=10,
    )


def near(names: list[str], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects that are nearly right, each of these names holding any JSON at all, or any JSON."""
    return st.fixed_dictionaries(fixed, optional={name: ANY for name in names if name not in fixed}) | ANY


ANY = json_of(
    ["role", "content", "tool_calls", "function", "name", "arguments", "id", "type", "params", "text", "url", "image_url"]
)  # fmt: skip
CALLS = st.lists(
    near(["id", "tool_name", "params", "function"], function=near(["name", "arguments"], name=st.text(max_size=3)))
    | near(["params"], id=st.text(max_size=3), tool_name=st.text(max_size=3)),
    max_size=2,
)  # fmt: skip
PARTS = st.lists(
    near(["text", "image_url"], type=st.sampled_from(["text", "image_url", "image"])), max_size=2
)
MESSAGES = st.lists(
    near(
        ["tool_calls", "tool_call_id", "name"],
        role=st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
        content=ANY | PARTS,
    )
    | near(["content"], role=st.just("assistant"), tool_calls=CALLS)
    | near([], role=st.just("tool"), tool_call_id=st.text(max_size=3), content=ANY | PARTS),
    max_size=3,
)
TOOLS = st.lists(
    near(["name", "description", "parameters", "input_schema", "strict"])
    | near(["description", "parameters"], name=st.text(max_size=3))
    | near(["type"], function=near(["name", "parameters"])),
    max_size=2,
)
CHOICES = st.sampled_from(["auto", "none", "required", "any"]) | near(["type", "name", "function"])
PARAMS = near(
    ["temperature", "top_p", "top_k", "stop", "effort", "reasoning_effort", "cache", "parallel_tool_calls", "seed", "thinking",
     "max_tokens", "stream", "metadata"]
)  # fmt: skip
MODELS = st.sampled_from(["gpt-6-luna", "gpt-4o-mini", "claude-haiku-4-5", "claude-haiku-5-5", ""])


def sent(provider: Provider, call: Call) -> dict[str, Any] | None:
    """The body of the request, or None for one that is refused by name."""
    try:
        request = wire_for(provider).build(provider, call)
    except LlmreqError:
        return None
    assert request.url.startswith(provider.base_url)
    assert KEY not in repr(request)
    body = json.loads(request.body.decode())
    assert isinstance(body, dict)
    return body


@given(PROVIDERS, MODELS, MESSAGES | ANY, st.none() | TOOLS | ANY, st.none() | CHOICES, st.none() | PARAMS)
@example(OPENAI, "m", [USER], [{}], None, {})
@example(ANTHROPIC, "m", [{"role": "system", "content": {"a": 2**70}}, USER], None, None, {})
@example(OPENAI, "m", [{"role": "assistant", "tool_calls": [{"id": "c", "tool_name": "f", "params": {"a": "\ud800"}}]}],
         None, None, {})  # fmt: skip
def test_any_json_of_a_row_is_sent_or_refused_by_name(
    provider: Provider, model: str, messages: Any, tools: Any, choice: Any, params: Any
) -> None:
    body = sent(provider, Call(model, messages, 10, None, tools, choice, params))
    if body is not None:
        cap = provider.max_tokens_field if provider is OPENAI else "max_tokens"
        assert (body["model"], body[cap]) == (model, 10)
        assert isinstance(body["messages"], list)
        assert body.keys().isdisjoint({"stream", "n", "api_key", "base_url"})


@given(PROVIDERS, schemas(), st.booleans())
def test_any_schema_is_sent_natively_or_in_words(provider: Provider, schema: Any, native: bool) -> None:
    given = Provider("p", provider.api, provider.base_url, KEY, native_schema=native)
    body = sent(given, Call("m", [USER], 10, schema))
    assert body is not None
    natively = "response_format" in body or "output_config" in body
    assert natively is not ("valid against this JSON Schema" in json.dumps(body))
    assert native or not natively


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


@BOTH
@pytest.mark.parametrize("levels", [10, 100, 200, 1000, 20_000])
@pytest.mark.parametrize(
    "place",
    [
        lambda deep: {"messages": [{"role": "user", "content": deep}]},
        lambda deep: {"messages": [{"role": "system", "content": deep}, USER]},
        lambda deep: {"messages": [{"role": "tool", "tool_call_id": "c", "content": deep}]},
        lambda deep: {"messages": [{"role": "tool", "tool_call_id": deep, "content": "t"}]},
        lambda deep: {"messages": [{"role": deep}]},
        lambda deep: {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "tool_name": "f", "params": deep}]}]},
        lambda deep: {"messages": [{"role": "assistant", "tool_calls": [{"id": deep, "tool_name": "f", "params": "{"}]}]},
        lambda deep: {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": deep}]}]},
        lambda deep: {"tools": [{"name": "f", "parameters": deep}]},
        lambda deep: {"tools": [{"name": deep}]},
        lambda deep: {"tools": [TOOL], "tool_choice": {"type": deep}},
        lambda deep: {"params": {"metadata": deep}},
        lambda deep: {"params": {"effort": deep}},
        lambda deep: {"response_schema": {"type": "object", "additionalProperties": False, "properties": {"a": {"const": deep}}}},
        lambda deep: {"response_schema": {"const": deep}},
    ],
)  # fmt: skip
def test_nesting_without_end_is_sent_or_refused_by_name(provider: Provider, place: Any, levels: int) -> None:
    sent(
        provider, Call(**{"model": "m", "messages": [USER], "max_output_tokens": 10, **place(nested(levels))})
    )


@BOTH
def test_a_schema_nested_without_end_is_refused_by_name(provider: Provider) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(20_000):
        schema = {
            "type": "object",
            "properties": {"a": schema},
            "required": ["a"],
            "additionalProperties": False,
        }
    with pytest.raises(InvalidRequestError, match="nests too deep"):
        wire_for(provider).build(provider, Call("m", [USER], 10, schema))


COUNTS = st.dictionaries(
    st.sampled_from(
        ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "cache_creation_input_tokens",
         "cache_read_input_tokens"]
    ),
    st.integers(-1, 100) | SCALARS,
).flatmap(
    lambda counts: st.dictionaries(
        st.sampled_from(["prompt_tokens_details", "completion_tokens_details", "cache_creation", "output_tokens_details"]),
        st.dictionaries(
            st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens", "thinking_tokens",
                             "ephemeral_1h_input_tokens"]),
            st.integers(-1, 200) | SCALARS,
        )
        | ANY,
    ).map(lambda details: counts | details)
)  # fmt: skip
FUNCTIONS = near(["name", "arguments"])
BODIES = near(
    ["model", "choices", "content", "error", "message", "detail"],
    choices=st.lists(
        near(
            ["finish_reason"],
            message=near(["content", "refusal"], tool_calls=st.lists(near(["id"], function=FUNCTIONS), max_size=2)),
        ),
        max_size=2,
    )
    | ANY,
    content=st.lists(near(["text", "id", "name", "input"], type=st.sampled_from(["text", "tool_use", "new"])), max_size=3) | ANY,
    stop_reason=st.sampled_from(["end_turn", "refusal", "max_tokens"]) | ANY,
    stop_details=near(["category", "explanation"]),
    usage=COUNTS | ANY,
) | near([], error=near(["type", "code", "param", "message", "details", "detail", "error_code"]))  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(
        ["retry-after", "retry-after-ms", "request-id", "x-request-id"]
        + [f"x-ratelimit-{part}-tokens" for part in ("limit", "remaining", "reset")]
        + [f"anthropic-ratelimit-tokens-{part}" for part in ("limit", "remaining", "reset")]
    )
    | st.text(max_size=5),
    st.text(max_size=12)
    | st.from_regex(r"[0-9.e+-]{1,6}(h|m|s|ms|us|ns)?", fullmatch=True)
    | st.datetimes().map(lambda at: at.isoformat())
    | st.datetimes().map(lambda at: f"{at:%a, %d %b} {at.year:04} {at:%H:%M:%S} GMT")
    | st.sampled_from(["1e400", "9" * 400, "9" * 400 + "s", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
                       "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359", "Mon, 99 Xxx 0000"]),
)  # fmt: skip


def assert_sound(answer: Answer, status: int) -> None:
    """What every other room takes for granted of an answer."""
    assert answer.http_status == status
    assert answer.failure is not None or answer.text or answer.tool_calls
    assert (answer.billed is Billed.BY_USAGE) is (answer.usage is not None)
    if answer.usage is not None:
        assert min(getattr(answer.usage, name) for name in Usage.__slots__) >= 0
        assert answer.usage.reasoning_tokens <= answer.usage.output_tokens
    for call in answer.tool_calls:
        assert isinstance(call.id, str)
        assert call.id
        assert isinstance(call.tool_name, str)
        assert (call.params is None) is (call.raw is not None)
    for seen in (answer.rate_headers or {}).values():
        assert isinstance(seen, RateHeaders)
        assert seen.reset_seconds is None or 0 <= seen.reset_seconds < float("inf")
    if answer.failure is not None:
        assert "\0" not in answer.failure.message
        assert len(answer.failure.message) < 1000
        json.dumps(dict(answer.failure.details))
        wait = answer.failure.retry_after_seconds
        assert wait is None or 0 <= wait <= MAX_RETRY_AFTER_SECONDS


@given(PROVIDERS, st.integers(100, 999) | st.sampled_from([200, 400, 429, 529]), HEADERS,
       st.binary(max_size=60) | st.builds(lambda body: json.dumps(body).encode(), BODIES))  # fmt: skip
def test_any_response_is_an_answer_or_a_named_failure(
    provider: Provider, status: int, headers: dict[str, str], body: bytes
) -> None:
    answer = wire_for(provider).parse(provider, HttpResponse(status, headers, body), NOW)
    assert_sound(answer, status)
    if not 200 <= status < 300:
        assert answer.failure is not None
        assert KEY not in f"{answer.failure.message}{answer.failure.details}"


@BOTH
@pytest.mark.parametrize("levels", [200, 300, 1000, 5000, 200_000])
@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    "template",
    [
        "@", '{"error":@}', '{"error":{"message":@}}', '{"error":{"type":@,"code":@,"param":@,"details":{"error_code":@}}}',
        '{"detail":@}', '{"choices":@,"content":@}', '{"choices":[{"message":@,"finish_reason":@}]}',
        '{"choices":[{"message":{"content":@,"refusal":@}}],"content":[{"type":"text","text":@}]}',
        '{"choices":[{"message":{"content":[{"type":"text","text":@}]}}],"usage":{"prompt_tokens":@,"input_tokens":@}}',
        '{"choices":[{"message":{"tool_calls":[{"id":@,"function":{"name":@,"arguments":@}}]}}]}',
        '{"content":[{"type":"tool_use","id":@,"name":@,"input":@}],"model":@,"stop_reason":@}',
        '{"content":[],"stop_reason":"refusal","stop_details":{"category":@,"explanation":@}}',
    ],
)  # fmt: skip
def test_a_response_nested_without_end_is_a_response_like_another(
    provider: Provider, template: str, status: int, levels: int
) -> None:
    for opening, closing in ("[]", ('{"a":', "}")):
        body = template.replace("@", opening * levels + "1" + closing * levels)
        assert_sound(wire_for(provider).parse(provider, HttpResponse(status, {}, body.encode()), NOW), status)
