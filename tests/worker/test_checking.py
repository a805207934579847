"""What takes long is done in a process beside, with the same outcome; small things stay in place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import orjson
import pytest

from llmreq.errors import InvalidRequestError, InvalidSchemaError
from llmreq.wire.formats import wire_for
from llmreq.wire.outcome import HttpResponse
from llmreq.wire.provider import Provider
from llmreq.worker import checking
from llmreq.worker.checking import Beside, Checking
from llmreq.worker.engine import Claim
from llmreq.worker.judging import judged
from llmreq.worker.large_claim import decoded_claim, is_large
from llmreq.worker.large_json import LargeJson
from llmreq.worker.local import local_facts
from llmreq.worker.question import as_call
from llmreq.worker.report import Report
from llmreq.worker.side_work import claim_report, expectation

T = TypeVar("T")

LARGE = "x" * 100_000
COSTLY = {"type": "object", "properties": {"text": {"type": "string", "pattern": "^(a+)+$(?!b)"}}}
PROVIDER = Provider("openai", "openai", "https://o.test/v1", "sk-secret-key-1234")
NOW = 1_795_000_000.0


def claim(**columns: Any) -> Claim:
    names = {"id": UUID(int=7), "claim_seq": 1, "claimed_at": datetime(2026, 11, 21, tzinfo=UTC)}
    plain = {"lane": "openai/m", "model": "m", "provider": "openai", "kind": "chat", "max_output_tokens": 10}
    given = {**dict.fromkeys(Claim._fields), **names, **plain, "allow_text": False, **columns}
    return Claim(**given)


def said(message: dict[str, Any] | str, **more: Any) -> HttpResponse:
    message = {"content": message} if isinstance(message, str) else message
    usage = {"prompt_tokens": 5, "completion_tokens": 6}
    body = {
        "model": "m-1",
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": usage,
        **more,
    }
    return HttpResponse(200, {"x-request-id": "r1"}, orjson.dumps(body))


class Desk:
    """One event loop with one `Checking`, for all tests here: a process beside takes a while to start."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self.checking = Checking()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def jobs(self, work: Coroutine[Any, Any, T]) -> tuple[T, int]:
        """What it comes to, and how many jobs it took beside."""
        before = self.checking.pool.jobs
        return self.run(work), self.checking.pool.jobs - before

    async def answered(self, claim: Claim, response: HttpResponse) -> Report:
        expected = await self.checking.expectation(claim)
        return await self.checking.answer(claim, PROVIDER, expected, response, 12, NOW)

    def close(self) -> None:
        self.run(self.checking.close())
        self._runner.close()


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.close()


def in_place(claim: Claim, response: HttpResponse) -> Report:
    claim = decoded_claim(claim)
    answer = wire_for(PROVIDER).parse(PROVIDER, response, NOW)
    return claim_report(claim, judged(claim, answer, expectation(claim), 12))


@pytest.mark.parametrize(
    ("columns", "response"),
    [
        ({}, said(orjson.dumps([LARGE, 2**60]).decode())),
        ({}, said(f'{{"a": "{LARGE}", "n": {2**70}}}')),
        ({"response_schema": {"type": "object"}}, said(orjson.dumps([LARGE]).decode())),
        ({}, said('{"broken": "' + LARGE)),
        ({}, said({"refusal": LARGE})),
        ({}, HttpResponse(200, {"x-request-id": "r1"}, b"<html>" + LARGE.encode())),
        ({"response_schema": COSTLY}, said(orjson.dumps({"text": "a" * 300}).decode())),
        (
            {"tools": [{"name": "save", "parameters": {"type": "object", "required": ["id"]}}]},
            said({"tool_calls": [{"id": "1", "function": {"name": "save", "arguments": {"text": LARGE}}}]}),
        ),
        ({"response_schema": LargeJson(b'{"type": "object"}')}, said('{"a": 1}')),
    ],
    ids=["list", "integer", "schema", "broken", "refusal", "html", "pattern", "tool call", "large schema"],
)
def test_an_answer_judged_beside_gets_the_report_it_would_get_in_place(
    desk: Desk, columns: dict[str, Any], response: HttpResponse
) -> None:
    asked = claim(**columns)
    beside, jobs = desk.jobs(desk.answered(asked, response))
    assert jobs >= 1
    assert orjson.loads(beside.encoded) == orjson.loads(in_place(asked, response).encoded)
    assert beside.facts == in_place(asked, response).facts


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"response_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        {"response_schema": {"type": "array"}},
        {"tools": [{"name": "save"}]},
    ],
)
def test_a_small_answer_needs_no_process(desk: Desk, columns: dict[str, Any]) -> None:
    found, jobs = desk.jobs(desk.answered(claim(**columns), said('{"a": 1}')))
    assert jobs == 0
    assert found.encoded == in_place(claim(**columns), said('{"a": 1}')).encoded


def test_a_few_patterns_are_timed_beside_once_and_then_compiled_in_place(desk: Desk) -> None:
    day = claim(response_schema={"properties": {"day": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}}})
    for expected_jobs in (1, 0):
        expected, jobs = desk.jobs(desk.checking.expectation(day))
        assert (jobs, isinstance(expected, Beside)) == (expected_jobs, False)


def test_a_check_without_end_is_cut_with_its_bill_and_text_kept_and_the_next_one_judged(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = said(orjson.dumps(["a" * 60_000] * 100).decode())
    hostile = claim(response_schema={"items": {"allOf": [{"pattern": f"^(a|b|{n})*$"} for n in range(2000)]}})
    desk.run(desk.checking.expectation(hostile))
    monkeypatch.setattr(checking, "SIDE_CHECK_SECONDS", 1.0)
    cut = orjson.loads(desk.run(desk.answered(hostile, response)).encoded)
    monkeypatch.undo()
    fine = orjson.loads(
        desk.run(desk.answered(claim(response_schema={"items": {"type": "string"}}), response)).encoded
    )
    assert (cut["outcome"], cut["validation_errors"][0]["rule"]) == ("schema_mismatch", "time")
    assert (cut["billed"], cut["input_tokens"], len(cut["response"])) == ("usage", 5, len(fine["response"]))
    assert fine["outcome"] == "completed"


@pytest.mark.parametrize(
    "columns",
    [
        {"response_schema": {"type": "objekt"}},
        {"response_schema": {"type": "objekt", "pattern": "a"}},
        {"response_schema": {"pattern": "("}},
        {"response_schema": {"$ref": "https://example.org/schema"}},
        {"response_schema": LargeJson(b'{"type": "objekt"}')},
        {"response_schema": LargeJson(b'"' + b"x" * 5_000_000 + b'"')},
        {"response_schema": LargeJson(b"[" * 3000 + b"]" * 3000)},
        {"tools": [{"name": "f", "parameters": {"type": "objekt"}}]},
    ],
)
def test_a_bad_schema_is_refused_every_time_and_judged_once(desk: Desk, columns: dict[str, Any]) -> None:
    async def twice() -> None:
        for _ in range(2):
            with pytest.raises((InvalidSchemaError, InvalidRequestError)) as caught:
                await desk.checking.expectation(claim(**columns))
            assert len(caught.value.message) < 400

    _, jobs = desk.jobs(twice())
    assert jobs <= 1
    remembered = [each for each in desk.checking._verdicts.values() if isinstance(each, Exception)]
    assert all(each.__traceback__ is None for each in remembered), "a traceback keeps the payload"


def test_a_schema_that_takes_too_long_is_refused_and_the_refusal_remembered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "SIDE_COMPILE_SECONDS", 0.05)

    rules = [{"pattern": f"^\\p{{L}}{{{n % 9}}}{n}$"} for n in range(5_000)]
    slow = claim(response_schema=LargeJson(json.dumps({"anyOf": rules}).encode()))

    async def twice() -> None:
        for _ in range(2):
            with pytest.raises(InvalidSchemaError, match="too long to compile"):
                await desk.checking.expectation(slow)

    assert desk.jobs(twice())[1] == 1


def test_many_calls_with_one_new_schema_have_it_judged_once(desk: Desk) -> None:
    async def many() -> None:
        asked = claim(response_schema={"pattern": "abc"})
        await asyncio.gather(*(desk.checking.expectation(asked) for _ in range(50)))

    assert desk.jobs(many())[1] == 1


def test_the_call_that_had_a_schema_judged_may_be_cut_and_the_others_go_on(desk: Desk) -> None:
    async def many() -> None:
        asked = claim(response_schema={"pattern": "abcd"})
        first, second = (asyncio.ensure_future(desk.checking.expectation(asked)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await second

    desk.run(many())


@pytest.mark.parametrize(
    "columns",
    [
        {"params": LargeJson(b"{}")},
        {"params": LargeJson(b"{}"), "response_schema": LargeJson(b'{"type": "array"}')},
        {
            "content": None,
            "kind": "brief",
            "messages": LargeJson(b'[{"role":"user","content":"A fine day."}]'),
        },
    ],
    ids=["keywords", "mismatch", "brief"],
)
def test_a_large_local_step_made_beside_is_the_one_made_in_place(desk: Desk, columns: dict[str, Any]) -> None:
    asked = claim(
        **{"lane": "local/rules", "task_type": "keywords", "content": "A fine day in Paris.", **columns}
    )
    beside = orjson.loads(desk.run(desk.checking.local(asked)).encoded)
    plain = decoded_claim(asked)
    here = orjson.loads(claim_report(plain, local_facts(plain, expectation(plain))).encoded)
    assert beside.pop("latency_ms") >= 0
    assert here.pop("latency_ms") >= 0
    assert beside == here


MESSAGES = json.dumps(
    [{"role": "user", "content": "é" * 300_000}, {"role": "system", "content": [{"n": 2**70}]}]
).encode()


@pytest.mark.parametrize("api", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "columns",
    [
        {"messages": LargeJson(MESSAGES)},
        {
            "messages": LargeJson(b'[{"role":"user","content":"x"}]'),
            "params": LargeJson(b'{"seed": 123456789012345678901234}'),
        },
        {"content": "é" * 9_000_000},
    ],
)
def test_a_request_made_beside_is_the_one_made_in_place_and_the_key_never_leaves(
    desk: Desk, api: Any, columns: Any
) -> None:
    provider = Provider("p", api, "https://p.test", "sk-secret-key-1234")
    asked = claim(**columns)
    assert is_large(asked)
    request = desk.run(desk.checking.request(asked, provider))
    assert request == wire_for(provider).build(provider, as_call(decoded_claim(asked)))
    assert "sk-secret-key-1234" in str(dict(request.headers))


@pytest.mark.parametrize(
    "columns",
    [
        {"messages": LargeJson(b"[" * 5000 + b"]" * 5000)},
        {
            "messages": LargeJson(b'[{"role":"user","content":"x"}]'),
            "params": LargeJson(b'{"seed": 1' + b"0" * 5000 + b"}"),
        },
        {"messages": LargeJson(b'{"not": "a list"}')},
        {"content": "x" * (64 * 1024 * 1024 + 1)},
    ],
    ids=["deep", "endless number", "no list", "too large"],
)
def test_a_large_request_that_cannot_be_made_is_refused_by_name(desk: Desk, columns: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        desk.run(desk.checking.request(claim(**columns), PROVIDER))
    assert len(str(caught.value)) < 300


def test_nothing_of_the_worker_is_known_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key-1234")
    monkeypatch.setenv("LLMREQ_DATABASE_URL", "postgresql://u:s3cret@h/d")

    desk = Desk()  # of its own: it is started with these
    try:
        desk.run(desk.answered(claim(), said(LARGE)))
        (process,) = desk.checking.pool._idle
        pid = process.pid
        environ, cmdline = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline"))
    finally:
        desk.close()
    for text in (environ, cmdline):
        assert b"secret" not in text
        assert b"s3cret" not in text
    assert b"PATH=" in environ
