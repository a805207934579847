"""Every HTTP failure in the one shape: its code, what may be shown of it, and when to come back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmreq.errors import ErrorCode
from llmreq.limits import MAX_ERROR_BODY_CHARS, MAX_RETRY_AFTER_SECONDS
from llmreq.wire.formats import wire_for
from llmreq.wire.outcome import Answer, Billed, Failure, HttpResponse
from llmreq.wire.provider import Provider
from llmreq.wire.rate_headers import go_duration_seconds, rate_headers, retry_after_seconds

KEY = "plainkey-Q7w8E9r0T1y2"  # looks like no vendor's: only the exact text gives it away
OPENAI = Provider("openai", "openai", "https://o.test/v1", KEY)
ANTHROPIC = Provider("anthropic", "anthropic", "https://a.test", KEY)
BOTH = pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
NOW = 784_111_770.0  # Sun, 06 Nov 1994 08:49:30 GMT


def answered(
    provider: Provider, status: int, body: Any = b"", headers: dict[str, str] | None = None
) -> Answer:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return wire_for(provider).parse(provider, HttpResponse(status, headers or {}, raw), NOW)


def failure(answer: Answer) -> Failure:
    assert answer.failure is not None
    return answer.failure


STATUSES = [
    (301, ErrorCode.PROVIDER_UNAVAILABLE), (400, ErrorCode.INVALID_REQUEST), (401, ErrorCode.AUTHENTICATION),
    (402, ErrorCode.QUOTA_EXHAUSTED), (403, ErrorCode.AUTHENTICATION), (404, ErrorCode.UNKNOWN_MODEL),
    (405, ErrorCode.INVALID_REQUEST), (408, ErrorCode.PROVIDER_UNAVAILABLE), (409, ErrorCode.PROVIDER_UNAVAILABLE),
    (413, ErrorCode.CONTEXT_OVERFLOW), (422, ErrorCode.INVALID_REQUEST), (429, ErrorCode.RATE_LIMITED),
    (431, ErrorCode.INVALID_REQUEST), (500, ErrorCode.PROVIDER_UNAVAILABLE), (501, ErrorCode.PROVIDER_UNAVAILABLE),
    (502, ErrorCode.PROVIDER_UNAVAILABLE), (503, ErrorCode.PROVIDER_UNAVAILABLE), (504, ErrorCode.PROVIDER_TIMEOUT),
    (529, ErrorCode.PROVIDER_UNAVAILABLE),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'{"error": null}', b'{"error": {}}', b"\xff\x00"]
)
@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_a_status_alone_is_enough_for_a_code(
    provider: Provider, body: bytes, status: int, code: ErrorCode
) -> None:
    answer = answered(provider, status, body)
    assert (failure(answer).code, answer.http_status) == (code, status)
    assert answer.billed is (Billed.UPPER_BOUND if status == 504 else Billed.NOT_BILLED)
    assert (answer.text, answer.tool_calls, answer.usage) == (None, (), None)


@pytest.mark.parametrize("name", ["type", "code"])
@pytest.mark.parametrize("status", [400, 402, 403, 429])
@pytest.mark.parametrize(
    "word",
    [
        "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded", "organization_usage_limit_exceeded", "enforced_spend_limit_reached",
        "contract_spend_limit_reached", "spend_limit_reached", "billing_error",
    ],
)  # fmt: skip
def test_no_money_is_never_taken_for_too_fast(name: str, status: int, word: str) -> None:
    for error in ({name: word}, {"type": "rate_limit_error", "details": {"error_code": word}}):
        assert failure(answered(OPENAI, status, {"error": error})).code is ErrorCode.QUOTA_EXHAUSTED


@pytest.mark.parametrize(
    "word", ["slow_down", "rate_limit_exceeded", "ramp_limit_exceeded", "tokens", "requests"]
)
def test_too_fast_is_never_taken_for_no_money(word: str) -> None:
    error = {"type": word, "code": word, "message": "Rate limit reached", "details": {"error_code": word}}
    assert failure(answered(OPENAI, 429, {"error": error})).code is ErrorCode.RATE_LIMITED


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "context_length_exceeded"}),
        (400, {"type": "exceed_context_size_error"}),
        (413, {"type": "request_too_large"}),
        (422, {"message": "the input exceeds the CONTEXT WINDOW"}),
        (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum"}),
        (400, {"message": "the request exceeds the available context size"}),
        (429, {"message": "Request too large for gpt-6 on tokens per min: Limit 10, Requested 20"}),
    ],
)
def test_what_can_never_fit_is_an_overflow(status: int, error: dict[str, Any]) -> None:
    assert failure(answered(OPENAI, status, {"error": error})).code is ErrorCode.CONTEXT_OVERFLOW


@pytest.mark.parametrize(
    ("body", "says", "type"),
    [
        ({"error": {"message": "bad", "type": "t"}}, "bad", "t"),
        ([{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}], "bad", None),
        ({"error": "bad"}, "bad", None),
        ({"message": "bad", "type": "t"}, "bad", "t"),
        ({"detail": "bad"}, "bad", None),
        ({"detail": [{"loc": ["body"], "msg": "bad"}]}, '[{"loc":["body"],"msg":"bad"}]', None),
        ({"type": "error", "error": {"type": "api_error", "message": "b\n  ad"}}, "b ad", "api_error"),
    ],
)  # fmt: skip
def test_the_message_is_found_in_every_vendors_shape(body: Any, says: str, type: str | None) -> None:
    found = failure(answered(OPENAI, 400, body))
    assert found.message == f"openai answered 400: {says}"
    assert found.details.get("type") == type
    assert found.details["http_status"] == 400


@BOTH
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"1", b"{", b'{"error": {"message": "no"}}', b"\xff"]
)
def test_a_200_without_the_vendors_answer_may_have_been_paid_for(provider: Provider, body: bytes) -> None:
    answer = answered(provider, 200, body)
    assert failure(answer).code is ErrorCode.PROVIDER_UNAVAILABLE
    assert answer.billed is Billed.UPPER_BOUND


@BOTH
@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("before", [0, 150, 180, 195, 199, 480, 490, 499, 500])
def test_a_key_that_stands_where_the_text_is_cut_leaves_no_part_behind(
    provider: Provider, status: int, before: int
) -> None:
    padded = "x" * (before - 1) + " " + KEY
    for body in (
        padded.encode(),
        {"error": {"message": padded, "type": padded, "code": padded, "param": padded}},
    ):
        answer = answered(provider, status, body)
        assert KEY[:6] not in repr(answer)


def test_a_long_error_page_is_kept_in_part() -> None:
    found = failure(answered(OPENAI, 502, "é".encode() * 1_000_000))
    assert found.details["body"] == "é" * MAX_ERROR_BODY_CHARS
    assert len(found.message) < MAX_ERROR_BODY_CHARS + 50


@BOTH
def test_what_postgres_cannot_store_is_not_in_a_failure(provider: Provider) -> None:
    for body in (b"a\x00b", b'{"error": {"message": "a\\u0000b", "code": "a\\u0000b"}}'):
        for status in (200, 429):
            found = failure(answered(provider, status, body))
            assert "\x00" not in "".join([found.message, *map(str, found.details.values())])


@BOTH
@pytest.mark.parametrize("name", ["message", "detail", "type", "code", "param", "error_code", "details"])
@pytest.mark.parametrize("levels", [300, 1000])
def test_an_error_nested_without_end_is_an_error_like_another(
    provider: Provider, name: str, levels: int
) -> None:
    body = b'{"error":{"%s":%s1%s}}' % (name.encode(), b"[" * levels, b"]" * levels)
    assert failure(answered(provider, 429, body)).code is ErrorCode.RATE_LIMITED


@pytest.mark.parametrize("name", ["request-id", "x-request-id"])
@BOTH
@pytest.mark.parametrize("status", [200, 400])
def test_the_vendors_id_of_a_failed_call_is_kept(provider: Provider, name: str, status: int) -> None:
    assert answered(provider, status, headers={name: "r1"}).provider_request_id == "r1"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "86400"}, MAX_RETRY_AFTER_SECONDS),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 7.0),
        ({"retry-after": "Sun, 06 Nov 1994 09:49:37 +0100"}, 7.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37"}, 7.0),
        ({"retry-after": "Sunday, 06-Nov-94 08:49:37 GMT"}, 7.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:00:00 GMT"}, 0.0),
        ({"retry-after": "Sun, 06 Nov 2044 08:00:00 GMT"}, MAX_RETRY_AFTER_SECONDS),
        ({"retry-after": "Mon, 99 Xxx 0000"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 +9999"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_a_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers, NOW) == seconds
    assert failure(answered(OPENAI, 429, headers=headers)).retry_after_seconds == seconds
    assert failure(answered(ANTHROPIC, 529, headers=headers)).retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250us", 0.00025), ("250µs", 0.00025), ("7ns", 7e-9), ("1.5h", 5400.0), ("1m30.5s", 90.5), ("9" * 400 + "h", None),
     ("1m ", None), ("-1s", None), ("s", None)],
)  # fmt: skip
def test_a_go_duration_is_read_or_is_none(text: str, seconds: float | None) -> None:
    assert go_duration_seconds(text) == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("1994-11-06T08:49:37Z", 7.0),
        ("1994-11-06T09:49:37+01:00", 7.0),
        ("1994-11-06T08:49:37", 7.0),
        ("1994-11-06T08:00:00Z", 0.0),
        ("0001-01-01T00:00:00", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_a_reset_stamp_counts_from_now_whatever_the_zone_of_this_machine(
    stamp: str, seconds: float | None
) -> None:
    headers = {
        "anthropic-ratelimit-tokens-limit": "10",
        "anthropic-ratelimit-tokens-remaining": "x",
        "anthropic-ratelimit-tokens-reset": stamp,
    }
    seen = rate_headers(headers, NOW)["tokens"]
    assert (seen.limit, seen.remaining, seen.reset_seconds) == (10, None, seconds)


LEARNABLE = "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [
        *(
            (limit, "0")
            for limit in ("0", "-1", "0.9", "nan", "inf", "-inf", "1e400", "1000000001", "9" * 400, "", "x")
        ),
        *(("60", remaining) for remaining in ("61", "-1", "nan", "1e12", "", "x")),
        ("0", "5"),
    ],
)
def test_figures_that_no_limit_can_have_are_not_learned(limit: str, remaining: str) -> None:
    seen = rate_headers(dict(zip(LEARNABLE, (limit, remaining), strict=True)), NOW).get("requests")
    assert seen is None or seen.limit is None or seen.remaining is None


@pytest.mark.parametrize(
    ("limit", "remaining", "expected"),
    [("1", "0", (1, 0)), ("60", "60", (60, 60)), ("1e9", "5.5", (1_000_000_000, 5)), ("60.9", "0", (60, 0))],
)
def test_figures_that_a_limit_can_have_are_learned(
    limit: str, remaining: str, expected: tuple[int, int]
) -> None:
    seen = rate_headers(dict(zip(LEARNABLE, (limit, remaining), strict=True)), NOW)["requests"]
    assert (seen.limit, seen.remaining) == expected
