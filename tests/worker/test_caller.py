"""Claims as calls in flight: keyed by claim, refused by name, and never lost in a callback."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
import structlog

from llmreq.errors import ErrorCode
from llmreq.wire.outcome import Failure, HttpRequest, HttpResponse
from llmreq.wire.provider import Provider
from llmreq.worker.caller import Caller
from llmreq.worker.engine import Claim
from llmreq.worker.report import Report
from tests.worker.test_checking import claim, said

MARKER = "PROMPT-7c2d"
PROVIDERS = {"openai": Provider("openai", "openai", "https://o.test/v1", "sk-key-" + MARKER)}
MESSAGES = [{"role": "user", "content": MARKER}]
ID = UUID(int=7)


class Gate:
    """A sender that answers when told to."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.opened = asyncio.Event()
        self.raises: Exception | None = None

    async def send(
        self, request: HttpRequest, *, timeout_seconds: float, on_sent: Callable[[], None]
    ) -> HttpResponse:
        on_sent()
        self.requests.append(request)
        await self.opened.wait()
        if self.raises is not None:
            raise self.raises
        return said(f"answer {MARKER}")


def calling(work: Callable[[Caller, Gate], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
    """What was reported while that ran and until all calls had ended."""
    reports: list[Report] = []

    async def whole() -> None:
        gate = Gate()
        caller = Caller(gate, PROVIDERS, reports.append)  # type: ignore[arg-type]
        try:
            await work(caller, gate)
            gate.opened.set()
            await caller.idle()
        finally:
            await caller.checking.close()
        assert caller.in_flight == 0

    asyncio.run(whole())
    return [orjson.loads(each.encoded) for each in reports]


async def sent(gate: Gate, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(gate.requests) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def test_the_same_request_claimed_twice_has_two_calls_and_two_reports() -> None:
    async def work(caller: Caller, gate: Gate) -> None:
        for claim_seq in (1, 2, 2):
            caller.start(claim(messages=MESSAGES, claim_seq=claim_seq))
        assert (caller.in_flight, caller.ids, caller.claims) == (2, {ID}, {(ID, 1), (ID, 2)})
        await sent(gate, 2)

    reports = calling(work)
    assert sorted(each["claim_seq"] for each in reports) == [1, 2]
    assert {each["outcome"] for each in reports} == {"completed"}


def test_a_cancellation_cuts_every_claim_of_the_request_and_only_those() -> None:
    async def work(caller: Caller, gate: Gate) -> None:
        for id, claim_seq in ((ID, 1), (ID, 2), (UUID(int=8), 1)):
            caller.start(claim(messages=MESSAGES, id=id, claim_seq=claim_seq))
        await sent(gate, 3)
        caller.cancel([ID, UUID(int=9)])
        caller.start(claim(messages=MESSAGES, id=ID, claim_seq=3))
        caller.cancel([ID])  # before it was sent

    ends = {(each["id"][-1], each["claim_seq"]): (each["outcome"], each["billed"]) for each in calling(work)}
    cut = ("cancelled", "upper_bound")
    assert ends == {
        ("7", 1): cut,
        ("7", 2): cut,
        ("7", 3): ("cancelled", "none"),
        ("8", 1): ("completed", "usage"),
    }


@pytest.mark.parametrize(("cut", "outcomes"), [("release_all", ["released"]), ("drop_all", [])])
def test_all_calls_are_cut_at_once(cut: str, outcomes: list[str]) -> None:
    async def work(caller: Caller, gate: Gate) -> None:
        caller.start(claim(messages=MESSAGES))
        await sent(gate, 1)
        getattr(caller, cut)()

    assert [each["outcome"] for each in calling(work)] == outcomes


def test_a_claim_that_cannot_be_read_is_refused_uncharged() -> None:
    async def work(caller: Caller, gate: Gate) -> None:
        failure = Failure(ErrorCode.INVALID_REQUEST, "messages cannot be read\0", {"column": "messages"})
        caller.refuse(ID, 3, datetime(2026, 11, 21, tzinfo=UTC), 100, failure)
        assert not gate.requests

    (report,) = calling(work)
    assert (report["outcome"], report["billed"], report["claim_seq"]) == ("invalid_request", "none", 3)
    assert (report["error_details"], report["max_output_tokens"]) == ({"column": "messages"}, 100)


def nested(levels: int, inner: Any = 1) -> Any:
    for _ in range(levels):
        inner = [inner]
    return inner


def schema_of(levels: int) -> Any:
    inner: Any = {"type": "string"}
    for _ in range(levels):
        inner = {
            "type": "object",
            "properties": {"a": inner},
            "required": ["a"],
            "additionalProperties": False,
        }
    return inner


@pytest.mark.parametrize("lane", ["openai/m", "local/rules"])
@pytest.mark.parametrize("levels", [300, 500, 990, 2_000, 100_000])
@pytest.mark.parametrize(
    "columns",
    [
        lambda n: {"params": {"metadata": nested(n)}},
        lambda n: {"messages": [{"role": "user", "content": nested(n)}]},
        lambda n: {"messages": [{"role": "user", "content": "x", "tool_calls": nested(n)}]},
        lambda n: {"response_schema": {"const": nested(n)}},
        lambda n: {"response_schema": schema_of(n)},
        lambda n: {"tools": [{"name": "f", "parameters": schema_of(n)}]},
        lambda n: {"tools": [{"name": "f"}], "tool_choice": nested(n)},
        lambda n: {"last_response": "x", "last_errors": [{"field": nested(n), "message": nested(n)}]},
        lambda n: {"params": {"seed": 10 ** (n * 10)}},
        lambda n: {"response_schema": {"maximum": 10 ** (n * 10)}},
        lambda n: {"messages": [{"role": "user", "content": [10 ** (n * 10)]}]},
    ],
)  # fmt: skip
def test_what_nests_or_counts_without_end_is_sent_or_refused_by_its_own_name(
    columns: Any, levels: int, lane: str
) -> None:
    async def work(caller: Caller, gate: Gate) -> None:
        gate.opened.set()
        caller.start(
            claim(**{"messages": MESSAGES, "lane": lane, "task_type": "keywords", **columns(levels)})
        )

    (report,) = calling(work)
    allowed = {"completed", "invalid_request", "invalid_schema", "malformed_json", "schema_mismatch"}
    assert report["outcome"] in allowed, report
    if report["outcome"].startswith("invalid"):
        assert report["billed"] == "none"


def logs_of(
    work: Callable[[Caller, Gate], Coroutine[Any, Any, None]], caplog: pytest.LogCaptureFixture
) -> str:
    with structlog.testing.capture_logs() as lines, caplog.at_level(logging.DEBUG):
        calling(work)
    return json.dumps(lines, default=repr) + caplog.text


def test_a_fault_of_ours_is_reported_as_such_and_logged_without_the_prompt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(caller: Caller, gate: Gate) -> None:
        gate.raises = KeyError(MARKER)
        gate.opened.set()
        caller.start(claim(messages=MESSAGES))

    reports: list[dict[str, Any]] = []
    with structlog.testing.capture_logs() as lines:
        reports = calling(work)
    assert (reports[0]["outcome"], reports[0]["billed"]) == ("internal", "upper_bound")
    assert MARKER not in reports[0]["error_message"]
    assert [line["event"] for line in lines] == ["call_failed"]


def test_what_a_callback_raises_loses_no_other_call_and_tells_no_prompt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(caller: Caller, gate: Gate) -> None:
        gate.opened.set()
        done, caller.done = caller.done, lambda report: {}[MARKER]
        caller.start(claim(messages=MESSAGES))
        await caller.idle()
        caller.done = done
        caller.start(claim(messages=MESSAGES, claim_seq=2))

    with structlog.testing.capture_logs() as lines:
        reports = calling(work)
    assert [each["claim_seq"] for each in reports] == [2]
    assert [line["event"] for line in lines] == ["report_lost"]
    assert caplog.text == "", "nothing for asyncio to log"


def test_no_value_on_its_way_shows_a_payload() -> None:
    asked: Claim = claim(messages=MESSAGES, content=MARKER)
    shown: list[str] = [repr(asked)]

    async def work(caller: Caller, gate: Gate) -> None:
        caller.start(asked)
        shown.append(repr(caller) + repr([running.task for running in caller._running.values()]))
        await sent(gate, 1)
        shown.append(repr(gate.requests) + repr(caller._running))
        gate.opened.set()
        tasks = [running.task for running in caller._running.values()]
        await caller.idle()
        shown.append(repr(tasks))

    calling(work)
    assert MARKER not in "".join(shown)
