"""What comes back: both vendors' answers and every failure, in one shape."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.errors import ErrorCode
from llmreq.wire.anthropic import Anthropic
from llmreq.wire.formats import wire_for
from llmreq.wire.openai import OpenAI
from llmreq.wire.outcome import Answer, Billed, HttpResponse, Usage
from llmreq.wire.provider import Provider
from llmreq.wire.rate_headers import RateHeaders, go_duration_seconds, rate_headers, retry_after_seconds
from tests.wire.test_requests import json_values

KEY = "sk-proj-verysecretkey123"
OPENAI = Provider("openai", "openai", "https://o.test/v1", KEY)
ANTHROPIC = Provider("anthropic", "anthropic", "https://a.test", KEY)
NOW = 1_795_000_000.0


def openai(message: dict[str, Any], finish: str = "stop", usage: dict[str, Any] | None = None) -> Answer:
    body = {"model": "m-1", "choices": [{"message": message, "finish_reason": finish}], "usage": usage}
    return OpenAI.parse(OPENAI, HttpResponse(200, {"x-request-id": "r1"}, orjson.dumps(body)), NOW)


def anthropic(content: list[Any], stop: str = "end_turn", usage: dict[str, Any] | None = None) -> Answer:
    body = {"model": "m-1", "content": content, "stop_reason": stop, "usage": usage}
    return Anthropic.parse(ANTHROPIC, HttpResponse(200, {"request-id": "r1"}, orjson.dumps(body)), NOW)


def failed(provider: Provider, status: int, body: Any, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return wire_for(provider).parse(provider, HttpResponse(status, named, raw), NOW)


def test_openais_totals_become_disjoint_buckets() -> None:
    usage = {
        "prompt_tokens": 100, "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }  # fmt: skip
    answer = openai({"content": "hi"}, usage=usage)
    assert answer.usage == Usage(30, 60, 10, 0, 50, 20)
    assert (answer.text, answer.model, answer.provider_request_id, answer.billed) == (
        "hi",
        "m-1",
        "r1",
        Billed.BY_USAGE,
    )


def test_anthropics_buckets_stay_as_they_are_and_writes_are_split_by_their_hour() -> None:
    usage = {
        "input_tokens": 30, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10,
        "cache_creation": {"ephemeral_1h_input_tokens": 4, "ephemeral_5m_input_tokens": 6}, "output_tokens": 50,
    }  # fmt: skip
    assert anthropic([{"type": "text", "text": "hi"}], usage=usage).usage == Usage(30, 60, 6, 4, 50, 0)


def test_an_answer_without_its_usage_is_booked_at_the_most_it_can_have_cost() -> None:
    assert openai({"content": "hi"}).billed is Billed.UPPER_BOUND
    assert anthropic([{"type": "text", "text": "hi"}]).billed is Billed.UPPER_BOUND


def test_texts_of_several_blocks_are_one_and_unknown_blocks_are_no_trouble() -> None:
    blocks = [
        {"type": "thinking", "thinking": "…"},
        {"type": "text", "text": "a"},
        {"type": "new"},
        {"type": "text", "text": "b"},
    ]
    assert anthropic(blocks).text == "ab"
    assert openai({"content": [{"type": "text", "text": "a"}, {"type": "new"}]}).text == "a"


def test_tool_calls_come_in_one_shape_and_bad_arguments_are_kept_as_text() -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "function", "function": {"name": "find", "arguments": '{"a":'}},
        {"id": "c3", "type": "function", "function": {"name": "find", "arguments": ""}},
    ]
    good, bad, none = openai({"content": None, "tool_calls": calls}, "tool_calls").tool_calls
    assert (good.id, good.tool_name, good.params, good.raw) == ("c1", "find", {"a": 1}, None)
    assert (bad.params, bad.raw) == (None, '{"a":')
    assert none.params == {}
    (used,) = anthropic(
        [{"type": "tool_use", "id": "t1", "name": "find", "input": {"a": 1}}], "tool_use"
    ).tool_calls
    assert (used.id, used.tool_name, used.params) == ("t1", "find", {"a": 1})


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (openai({"content": None, "refusal": "no"}), ErrorCode.REFUSED),
        (openai({"content": "par"}, "content_filter"), ErrorCode.CONTENT_FILTERED),
        (openai({"content": '{"a": '}, "length"), ErrorCode.TRUNCATED),
        (openai({"content": ""}), ErrorCode.EMPTY_RESPONSE),
        (openai({"content": "fine"}), None),
        (openai({"content": "fine"}, "a_new_reason"), None),
        (anthropic([], "refusal"), ErrorCode.REFUSED),
        (anthropic([{"type": "text", "text": "{"}], "max_tokens"), ErrorCode.TRUNCATED),
        (anthropic([{"type": "text", "text": "{"}], "model_context_window_exceeded"), ErrorCode.TRUNCATED),
        (anthropic([]), ErrorCode.EMPTY_RESPONSE),
        (anthropic([{"type": "text", "text": "fine"}], "stop_sequence"), None),
    ],
)
def test_refusals_filters_cuts_and_silence_are_told_apart(answer: Answer, code: ErrorCode | None) -> None:
    assert (answer.failure.code if answer.failure else None) == code


def test_a_refusal_before_any_output_costs_nothing_and_one_after_costs_its_tokens() -> None:
    usage = {"input_tokens": 5, "output_tokens": 1}
    assert anthropic([], "refusal", usage).billed is Billed.NOT_BILLED
    assert anthropic([{"type": "text", "text": "I"}], "refusal", usage).usage == Usage(5, 0, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("provider", "status", "error", "code"),
    [
        (OPENAI, 400, {"type": "invalid_request_error", "message": "bad"}, ErrorCode.INVALID_REQUEST),
        (OPENAI, 400, {"code": "context_length_exceeded", "message": "x"}, ErrorCode.CONTEXT_OVERFLOW),
        (OPENAI, 400, {"message": "This model's maximum context length is 8192 tokens"}, ErrorCode.CONTEXT_OVERFLOW),
        (OPENAI, 400, {"code": "content_policy_violation"}, ErrorCode.CONTENT_FILTERED),
        (OPENAI, 401, {"message": "no"}, ErrorCode.AUTHENTICATION),
        (OPENAI, 403, {"message": "no"}, ErrorCode.AUTHENTICATION),
        (OPENAI, 404, {"code": "model_not_found"}, ErrorCode.UNKNOWN_MODEL),
        (OPENAI, 408, {}, ErrorCode.PROVIDER_UNAVAILABLE),
        (OPENAI, 409, {}, ErrorCode.PROVIDER_UNAVAILABLE),
        (OPENAI, 413, {}, ErrorCode.CONTEXT_OVERFLOW),
        (OPENAI, 422, {"message": "odd"}, ErrorCode.INVALID_REQUEST),
        (OPENAI, 429, {"type": "tokens", "code": "rate_limit_exceeded"}, ErrorCode.RATE_LIMITED),
        (OPENAI, 429, {"code": "rate_limit_exceeded", "message": "Request too large for m: Limit 30000, Requested 40000"},
         ErrorCode.CONTEXT_OVERFLOW),
        (OPENAI, 429, {"type": "insufficient_quota"}, ErrorCode.QUOTA_EXHAUSTED),
        (OPENAI, 500, {}, ErrorCode.PROVIDER_UNAVAILABLE),
        (OPENAI, 502, b"<html>", ErrorCode.PROVIDER_UNAVAILABLE),
        (OPENAI, 503, {}, ErrorCode.PROVIDER_UNAVAILABLE),
        (OPENAI, 504, {}, ErrorCode.PROVIDER_TIMEOUT),
        (OPENAI, 302, b"", ErrorCode.PROVIDER_UNAVAILABLE),
        (ANTHROPIC, 400, {"type": "invalid_request_error", "message": "prompt is too long: 300000 tokens"},
         ErrorCode.CONTEXT_OVERFLOW),
        (ANTHROPIC, 400, {"type": "invalid_request_error", "message": "You have reached your specified API usage limits"},
         ErrorCode.QUOTA_EXHAUSTED),
        (ANTHROPIC, 402, {"type": "billing_error"}, ErrorCode.QUOTA_EXHAUSTED),
        (ANTHROPIC, 429, {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}},
         ErrorCode.QUOTA_EXHAUSTED),
        (ANTHROPIC, 429, {"type": "rate_limit_error"}, ErrorCode.RATE_LIMITED),
        (ANTHROPIC, 529, {"type": "overloaded_error"}, ErrorCode.PROVIDER_UNAVAILABLE),
    ],
)  # fmt: skip
def test_every_http_failure_has_its_code(
    provider: Provider, status: int, error: Any, code: ErrorCode
) -> None:
    answer = failed(provider, status, error if isinstance(error, bytes) else {"error": error})
    assert answer.failure is not None
    assert (answer.failure.code, answer.http_status) == (code, status)
    assert answer.billed is (Billed.UPPER_BOUND if status == 504 else Billed.NOT_BILLED)


def test_a_200_that_is_not_the_vendors_json_may_have_been_paid_for() -> None:
    answer = failed(OPENAI, 200, b"<html>log in</html>")
    assert answer.failure is not None
    assert (answer.failure.code, answer.billed) == (ErrorCode.PROVIDER_UNAVAILABLE, Billed.UPPER_BOUND)
    assert "check its base URL" in answer.failure.message


@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    "body", [f"wrong key {KEY}", {"error": {"message": f"bad {KEY}", "type": KEY}}, {"error": KEY}]
)
def test_a_key_that_the_provider_repeats_goes_no_further(provider: Provider, body: Any) -> None:
    for status in (200, 401, 500):
        answer = failed(provider, status, body.encode() if isinstance(body, str) else body)
        assert KEY not in repr(answer)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"retry_after": "Wed, 18 Nov 2026 10:13:30 GMT"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "999999"}, 3600.0),
        ({"retry_after": "-5"}, None),
        ({}, None),
    ],
)
def test_a_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    answer = failed(OPENAI, 429, {"error": {}}, **headers)
    assert answer.failure is not None
    if "GMT" in headers.get("retry_after", ""):
        assert answer.failure.retry_after_seconds is not None
        assert 0 <= answer.failure.retry_after_seconds <= 3600
    else:
        assert answer.failure.retry_after_seconds == seconds


def test_an_http_date_counts_from_now() -> None:
    assert retry_after_seconds({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 784_111_770.0) == 7.0
    assert retry_after_seconds({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, NOW) == 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("120ms", 0.12),
        ("6m0s", 360.0),
        ("1h2m3s", 3723.0),
        ("7.66s", 7.66),
        ("5", None),
        ("", None),
        ("1s!", None),
    ],
)
def test_go_durations(text: str, seconds: float | None) -> None:
    assert go_duration_seconds(text) == (pytest.approx(seconds) if seconds is not None else None)


def test_the_rate_headers_of_both_vendors_say_the_same() -> None:
    openai_headers = {
        "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s",
    }  # fmt: skip
    anthropic_headers = {
        "anthropic-ratelimit-input-tokens-limit": "1000", "anthropic-ratelimit-input-tokens-remaining": "900",
        "anthropic-ratelimit-input-tokens-reset": "1970-01-01T00:00:05Z",
    }  # fmt: skip
    assert rate_headers(openai_headers, 0.0) == {"requests": RateHeaders(60, 59, 1.0)}
    assert rate_headers(anthropic_headers, 0.0) == {"input-tokens": RateHeaders(1000, 900, 5.0)}
    assert rate_headers({}, 0.0) == {}


header_values = st.text(max_size=30) | st.sampled_from(
    ["0", "1e400", "9" * 40, "0001-01-01T00:00:00", "Mon, 99 Xxx 0000"]
)
header_names = st.sampled_from(
    [
        "retry-after", "retry-after-ms", "request-id", "x-request-id", "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-reset",
    ]
)  # fmt: skip
answers = json_values | st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(
            st.fixed_dictionaries({}, optional={"message": json_values, "finish_reason": json_values}) | json_values, max_size=2
        ),
        "content": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["text", "tool_use"])}, optional={"text": json_values, "input": json_values}
            )
            | json_values,
            max_size=3,
        ),
        "usage": st.dictionaries(
            st.sampled_from(
                ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "prompt_tokens_details",
                 "cache_creation_input_tokens", "cache_creation", "cache_read_input_tokens"]
            ),
            json_values | st.dictionaries(st.sampled_from(["cached_tokens", "ephemeral_1h_input_tokens"]), st.integers()),
        ),
        "error": json_values,
        "stop_reason": json_values,
        "model": json_values,
    },
)  # fmt: skip


def _encoded(value: Any) -> bytes:
    import json

    return json.dumps(value).encode()


@given(
    provider=st.sampled_from([OPENAI, ANTHROPIC]),
    status=st.sampled_from([200, 201, 204, 301, 400, 401, 404, 429, 500, 504, 529, 999]),
    headers=st.dictionaries(header_names, header_values),
    body=st.binary(max_size=40) | answers.map(_encoded),
)
def test_no_answer_whatever_makes_the_parser_fail(
    provider: Provider, status: int, headers: dict[str, str], body: bytes
) -> None:
    answer = wire_for(provider).parse(provider, HttpResponse(status, headers, body), NOW)
    assert answer.failure is not None or answer.text or answer.tool_calls
    if answer.usage is not None:
        assert min(getattr(answer.usage, name) for name in Usage.__slots__) >= 0
        assert answer.usage.reasoning_tokens <= answer.usage.output_tokens
    if answer.failure is not None and answer.failure.retry_after_seconds is not None:
        assert 0 <= answer.failure.retry_after_seconds <= 3600
