"""Whatever a provider says ends as a report that Postgres can store: one place makes it so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llmreq import limits
from llmreq.errors import ErrorCode
from llmreq.wire.formats import wire_for
from llmreq.wire.outcome import Answer, Billed, Failure, HttpResponse, ToolCall, Usage
from llmreq.worker.outcome_fields import FIELDS
from llmreq.worker.report import Report, answer_facts, failure_facts, report
from llmreq.worker.verdict import Expectation, verdict
from tests.wire.test_fuzz import ANTHROPIC, BODIES, HEADERS, OPENAI, PROVIDERS

NOTHING = Expectation(None, None, False)
NAMES = (UUID(int=7), 3, datetime(2026, 11, 21, tzinfo=UTC))
TEXT = "".join(chr(n) for n in (0, 0xD800, 0xDFFF, 0x1F600, 10, 34, 92)) + "\\u0000"


ODD_OPENAI = (
    rb'{"choices":[{"message":{"content":"a\u0000"}}],"model":"\u0000","service_tier":"a\u0000b",'
    rb'"usage":{"prompt_tokens":9223372036854775807,"completion_tokens":1}}'
)
ODD_ANTHROPIC = rb'{"content":[{"type":"text","text":"1e131072"}],"stop_reason":"\u0000"}'


class Store:
    """A table of what `llmreq_finish` takes: storing a report here is what the finish does with it first."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute("CREATE TEMP TABLE stored OF llmreq_outcome")

    def put(self, *reports: Report) -> list[dict[str, Any]]:
        given = (b"[" + b",".join(each.encoded for each in reports) + b"]").decode()
        rows = self.connection.execute(
            "INSERT INTO stored SELECT * FROM json_populate_recordset(NULL::llmreq_outcome, %s::json)"
            " RETURNING to_jsonb(stored)",
            (given,),
        ).fetchall()
        return [row[0] for row in rows]

    def attributes(self) -> set[str]:
        rows = self.connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'llmreq_outcome'::regclass AND NOT attisdropped"
        )
        return {name for (name,) in rows.fetchall()}


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    store = Store(database)
    yield store
    store.connection.close()


def judged(answer: Answer) -> dict[str, Any]:
    facts = answer_facts(answer, 12)
    return {**facts, **(failure_facts(answer.failure) if answer.failure else verdict(answer, NOTHING))}


def test_every_field_of_an_outcome_has_its_bound(store: Store) -> None:
    assert store.attributes() == FIELDS.keys() | {"id", "claim_seq", "claimed_at"}


@given(
    provider=PROVIDERS,
    status=st.sampled_from([200, 429, 500, 70_000]),
    headers=HEADERS,
    body=st.binary(max_size=40) | st.builds(lambda body: json.dumps(body).encode(), BODIES),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example(provider=OPENAI, status=200, headers={"x-request-id": "\0" * 300}, body=ODD_OPENAI)
@example(provider=ANTHROPIC, status=200, headers={}, body=ODD_ANTHROPIC)
def test_any_response_becomes_a_report_that_postgres_stores(
    store: Store, provider: Any, status: int, headers: dict[str, str], body: bytes
) -> None:
    answer = wire_for(provider).parse(provider, HttpResponse(status, headers, body), 1_795_000_000.0)
    full = report(*NAMES, judged(answer))
    (stored, bare) = store.put(full, full.bare("because\0 of it"))
    assert stored["id"] == str(NAMES[0])
    assert stored["billed"] == bare["billed"]
    assert [stored[name] for name in Usage.__slots__] == [bare[name] for name in Usage.__slots__]


ANY_FACT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(TEXT) | st.just("x" * 5000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, ANY_FACT)))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_a_fact_holds_the_report_is_stored_and_its_texts_are_bounded(
    store: Store, facts: dict[str, Any]
) -> None:
    full = report(*NAMES, facts)
    (stored, bare) = store.put(full, full.bare("x"))
    for name in ("provider_model", "provider_request_id", "finish_reason"):
        assert len(stored[name] or "") <= limits.MAX_IDENTIFIER_CHARS
    assert len(stored["error_message"] or "") <= limits.MAX_MESSAGE_CHARS
    for name in Usage.__slots__:
        assert stored[name] is None or 0 <= stored[name] <= limits.MAX_TOKEN_COUNT
    assert stored["billed"] == bare["billed"]
    assert bare["error_message"]


@pytest.mark.parametrize(
    "name", ["model", "service_tier", "finish_reason", "request-id", "refusal", "error", "tool"]
)
@pytest.mark.parametrize("text", [TEXT, TEXT * 400_000], ids=["odd", "megabytes"])
def test_odd_and_endless_texts_of_a_provider_are_cut_and_stored(store: Store, name: str, text: str) -> None:
    answer = {
        "model": Answer("x", model=text),
        "service_tier": Answer("x", service_tier=text),
        "finish_reason": Answer("x", finish_reason=text),
        "request-id": Answer("x", provider_request_id=text),
        "refusal": Answer(failure=Failure(ErrorCode.REFUSED, text, {"refusal": text})),
        "error": Answer(failure=Failure(ErrorCode.INVALID_REQUEST, text, {"body": text, text: [text]})),
        "tool": Answer(None, (ToolCall(text, text, {text: text}),)),
    }[name]
    full = report(*NAMES, judged(answer))
    (stored,) = store.put(full)
    assert len(full.encoded) < 200_000
    assert stored["outcome"] == (judged(answer)["outcome"])


@pytest.mark.parametrize("count", [-1, 10**10 + 1, 2**63, 2**70, 1.5, float("nan"), True, "7", [1]])
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens"])
def test_a_count_that_is_none_makes_the_bill_unknown_and_never_smaller(
    store: Store, name: str, count: Any
) -> None:
    facts = {
        "outcome": "completed",
        "billed": Billed.BY_USAGE,
        "input_tokens": 5,
        "output_tokens": 6,
        name: count,
    }
    (stored,) = store.put(report(*NAMES, facts))
    assert stored["billed"] == Billed.UPPER_BOUND
    assert [stored[each] for each in Usage.__slots__] == [None] * len(Usage.__slots__)


def test_numbers_outside_of_their_column_are_left_out_or_brought_to_its_end(store: Store) -> None:
    facts = {"outcome": "internal", "billed": "none", "http_status": 70_000, "latency_ms": 2**40,
             "retry_after_seconds": float("inf"), "max_output_tokens": 2**40}  # fmt: skip
    (stored,) = store.put(report(*NAMES, facts))
    assert stored["http_status"] is None
    assert stored["latency_ms"] == 2**31 - 1
    assert stored["retry_after_seconds"] is None
    assert stored["max_output_tokens"] is None


def test_errors_past_their_bound_are_counted_and_not_listed(store: Store) -> None:
    error = {
        "type": "schema_error",
        "field": "a" * 100_000,
        "message": "m",
        "rule": "r",
        "schema_path": "/a" * 9999,
    }
    (stored,) = store.put(report(*NAMES, {"outcome": "schema_mismatch", "validation_errors": [error] * 500}))
    kept = stored["validation_errors"]
    assert len(json.dumps(kept)) < 2 * limits.MAX_RECORDS_BYTES
    assert (kept[-1]["rule"], kept[0]["rule"]) == ("too_many_errors", "r")
    assert kept[-1]["message"] == f"{500 - len(kept) + 1} more errors are not listed"


def test_a_value_that_cannot_be_encoded_leaves_a_bare_report_with_its_bill(store: Store) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    facts = {
        "outcome": "completed",
        "billed": "usage",
        "input_tokens": 5,
        "output_tokens": 6,
        "parsed_response": deep,
    }
    full = report(*NAMES, facts)
    (stored,) = store.put(full)
    assert full.is_bare
    assert (stored["outcome"], stored["input_tokens"], stored["billed"]) == ("internal", 5, "usage")


def test_a_report_shows_nothing_of_its_answer() -> None:
    full = report(*NAMES, {"outcome": "completed", "response": "MARKER", "parsed_response": {"a": "MARKER"}})
    assert "MARKER" not in repr(full)
    assert b"MARKER" in full.encoded


@pytest.mark.parametrize(
    "text",
    ["[" + "1e308," * 900_000 + "1]", "[" + "1e-300," * 900_000 + "1]", "[" + "1," * 5_000_000 + "1]"],
    ids=["huge numbers", "tiny numbers", "many values"],
)
def test_json_that_postgres_could_not_hold_or_print_is_malformed(text: str) -> None:
    facts = verdict(Answer(text), NOTHING)
    assert facts["outcome"] == ErrorCode.MALFORMED_JSON
    assert orjson.dumps(facts["validation_errors"])


def test_tool_parameters_nested_too_deep_are_malformed() -> None:
    deep: dict[str, Any] = {}
    for _ in range(limits.MAX_JSON_DEPTH + 1):
        deep = {"a": deep}
    facts = verdict(Answer(None, (ToolCall("1", "f", deep),)), NOTHING)
    assert facts["outcome"] in (ErrorCode.MALFORMED_JSON, ErrorCode.SCHEMA_MISMATCH)
    assert report(*NAMES, facts).is_bare is False
