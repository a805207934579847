"""Claims become calls, each once: what breaks between a claim and its call loses none and doubles none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from llmreq import limits
from llmreq.wire.outcome import Failure
from llmreq.worker import claimer as claimer_module
from llmreq.worker import engine
from llmreq.worker.claimer import Claimer
from llmreq.worker.link import Link
from llmreq.worker.unclaimable import Unclaimable
from tests.engine.queue import Queue, Row

Key = tuple[UUID, int]


@dataclass
class Calls:
    """Takes claims as a caller does. A call runs until its claim is taken from `claims`."""

    started: list[engine.Claim] = field(default_factory=list)
    refused: dict[Key, Failure] = field(default_factory=dict)
    claims: set[Key] = field(default_factory=set)

    @property
    def in_flight(self) -> int:
        return len(self.claims)

    def start(self, claim: engine.Claim) -> None:
        self.started.append(claim)
        self.claims.add((claim.id, claim.claim_seq))

    def refuse(
        self, id: UUID, claim_seq: int, claimed_at: Any, max_output_tokens: int, failure: Failure
    ) -> None:
        self.refused[id, claim_seq] = failure

    @property
    def known(self) -> int:
        return len(self.started) + len(self.refused)


@pytest.fixture
def queue(database: str) -> Queue:
    queue = Queue.open(database)
    queue.run("SELECT set_config('llmreq.now', '', false)")
    return queue


def claimer(url: str, worker: int, calls: Calls, **options: Any) -> Claimer:
    given = {"poll_seconds": 0.01, "batch_size": 10, "concurrency": 100, **options}
    return Claimer(Link(lambda: url, "test"), lambda: worker, calls, Outcomes(), **given)  # type: ignore[arg-type]


@dataclass
class Outcomes:
    """A completer without any."""

    backlog: int = 0
    backlog_bytes: int = 0
    claims: frozenset[Key] = frozenset()


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, f"waited {seconds} s"
        await asyncio.sleep(0.005)


def run(claimer: Callable[[], Claimer], then: Callable[[Claimer], Awaitable[None]]) -> None:
    async def main() -> None:
        made = claimer()
        made.start()
        try:
            await then(made)
        finally:
            await made.stop()

    asyncio.run(main())


@pytest.mark.parametrize("breaks_in", ["claim", "read"])
@pytest.mark.parametrize("how", [psycopg.OperationalError("server closed the connection"), TimeoutError()])
def test_a_claim_whose_answer_was_lost_is_found_and_called_once(
    queue: Queue, database: str, breaks_in: str, how: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        queue.insert()
    worker = queue.worker()
    real = getattr(engine, breaks_in)
    broken = [True]

    async def breaking(*arguments: Any) -> Any:
        result = await real(*arguments)
        if broken:
            broken.clear()
            raise how
        return result

    monkeypatch.setattr(engine, breaks_in, breaking)
    calls = Calls()
    run(
        lambda: claimer(database, worker, calls, batch_size=2),
        lambda _: until(lambda: len(calls.started) >= 3),
    )
    assert len(calls.claims) == len(calls.started) == 3
    assert {claim.claim_seq for claim in calls.started} == {1}


def test_what_of_a_batch_was_started_before_it_broke_is_not_started_again(
    queue: Queue, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        queue.insert()
    worker = queue.worker()
    calls = Calls()
    real = claimer_module.read_slice
    broken = [True]

    async def one_by_one(connection: Any, taken: Any, slice_bytes: int) -> Any:
        if len(calls.started) == 2 and broken:
            broken.clear()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        found = await real(connection, taken[:1], slice_bytes)
        found.later = list(taken[1:])
        return found

    monkeypatch.setattr(claimer_module, "read_slice", one_by_one)
    run(lambda: claimer(database, worker, calls), lambda _: until(lambda: len(calls.started) >= 6))
    assert not broken
    assert len(calls.claims) == len(calls.started) == 6


def test_large_payloads_are_read_in_slices_and_as_calls_end(
    queue: Queue, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claimer_module, "READ_SLICE_BYTES", 250_000)
    monkeypatch.setattr(claimer_module, "PAYLOADS_IN_FLIGHT_BYTES", 500_000)
    slices: list[int] = []
    real = engine.read

    async def counting(*arguments: Any) -> Any:
        read = await real(*arguments)
        slices.append(sum(each.payload_bytes for each in read if each.here))
        return read

    monkeypatch.setattr(engine, "read", counting)
    for _ in range(10):
        queue.insert(content="x" * 100_000)
    worker = queue.worker()
    calls = Calls()

    async def ends(_: Claimer) -> None:
        await until(lambda: len(calls.started) >= 5)
        while calls.known < 10:
            assert 100_000 * calls.in_flight <= 600_000
            calls.claims.pop()
            began = len(calls.started)
            await until(lambda began=began: len(calls.started) > began)  # type: ignore[misc]

    run(lambda: claimer(database, worker, calls), ends)
    assert max(slices) <= 250_000
    assert len({claim.id for claim in calls.started}) == 10


def test_a_payload_too_large_for_any_call_fails_unread(
    queue: Queue, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmreq.worker.reader.MAX_PAYLOAD_BYTES", 100_000)
    large = queue.insert(content="x" * 200_000)
    small = queue.insert()
    worker = queue.worker()
    calls = Calls()
    run(lambda: claimer(database, worker, calls), lambda _: until(lambda: calls.known == 2))
    assert [claim.id for claim in calls.started] == [small["id"]]
    failure = calls.refused[large["id"], 1]
    assert (failure.code, failure.message) == (
        "invalid_request",
        "the request has 200,000 bytes, at most 100,000 can be sent",
    )


IMAGE = '[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"%s"}}]}]'


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("params", '{"metadata":"%s"}'),
        ("tool_choice", '"%s"'),
        ("validation_errors", '[{"message":"%s"}]'),
        ("messages", '[{"role":"user","content":"%s"}]'),
        ("messages", IMAGE),
    ],
)
def test_the_whole_size_of_a_payload_is_known(queue: Queue, database: str, column: str, value: str) -> None:
    row = queue.insert()
    queue.run(
        f"UPDATE llm_requests SET {column} = %s::jsonb WHERE id = %s", value % ("x" * 300_000), row["id"]
    )
    worker = queue.worker()

    async def sizes() -> list[int]:
        async with Link(lambda: database, "test").use() as connection:
            taken = await engine.claim(connection, worker, 10)
            return [each.payload_bytes for each in await engine.read(connection, taken, 10**6)]

    (size,) = asyncio.run(sizes())
    assert 300_000 < size < 301_000


def test_a_row_that_postgres_cannot_read_fails_alone(
    queue: Queue, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [queue.insert() for _ in range(7)]
    cursed = rows[4]["id"]
    real = engine.read

    async def corrupt(connection: Any, taken: Any, most_bytes: int) -> Any:
        if any(each.id == cursed for each in taken):
            await connection.execute(
                "DO $$ BEGIN RAISE 'missing chunk number 0' USING ERRCODE = 'XX001'; END $$"
            )
        return await real(connection, taken, most_bytes)

    monkeypatch.setattr(engine, "read", corrupt)
    worker = queue.worker()
    calls = Calls()
    run(lambda: claimer(database, worker, calls), lambda _: until(lambda: calls.known >= 7))
    assert {claim.id for claim in calls.started} == {row["id"] for row in rows} - {cursed}
    (failure,) = calls.refused.values()
    assert (failure.code, failure.message) == (
        "internal",
        "Postgres could not read the request: DataCorrupted: SQLSTATE XX001",
    )


def test_without_leave_nothing_is_claimed(queue: Queue, database: str) -> None:
    row = queue.insert()
    worker = queue.worker()
    calls = Calls()
    asked: list[bool] = []

    def may_claim() -> bool:
        asked.append(len(asked) >= 5)
        if len(asked) == 5:
            assert queue.request(row)["status"] == "pending"
        return asked[-1]

    run(
        lambda: claimer(database, worker, calls, may_claim=may_claim),
        lambda _: until(lambda: bool(calls.started)),
    )
    assert asked.count(False) == 5


def test_nothing_is_claimed_while_unsettled_answers_fill_the_memory(queue: Queue, database: str) -> None:
    queue.insert()
    worker = queue.worker()
    calls = Calls()
    made = claimer(database, worker, calls)
    made.settler.backlog_bytes = limits.UNSETTLED_FREE_BYTES + 1  # type: ignore[misc]
    assert made._free() == 0


def test_what_cannot_be_claimed_is_passed_over_for_a_minute_and_told_once() -> None:
    rows = Unclaimable()
    one, other = uuid4(), uuid4()
    assert rows.add([one], now=0.0) == [one]
    assert rows.skip(now=59.0) == [one]
    assert rows.skip(now=61.0) == []
    assert rows.add([one, other], now=61.0) == [other]
    assert set(rows.skip(now=62.0)) == {one, other}


def test_only_so_many_unclaimable_rows_are_remembered() -> None:
    rows = Unclaimable()
    ids = [uuid4() for _ in range(limits.MAX_UNCLAIMABLE_ROWS + 10)]
    rows.add(ids, now=0.0)
    assert rows.skip(now=1.0) == ids[10:]


REFUSES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.agent_id = 'cursed' AND NEW.status <> 'pending' THEN RAISE 'no, thank you'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER zz_refuse BEFORE UPDATE ON llm_requests FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def test_a_row_whose_trigger_refuses_every_change_stops_no_other(queue: Queue, database: str) -> None:
    before = [queue.insert() for _ in range(3)]
    cursed: Row = queue.insert(agent_id="cursed")
    after = [queue.insert() for _ in range(3)]
    queue.run(REFUSES)
    worker = queue.worker()
    calls = Calls()

    async def then(made: Claimer) -> None:
        await until(lambda: calls.known >= 6)
        later = queue.insert()
        await until(lambda: later["id"] in {claim.id for claim in calls.started})

    run(lambda: claimer(database, worker, calls), then)
    assert len(calls.started) == 7
    assert {row["id"] for row in (*before, *after)} < {claim.id for claim in calls.started}
    assert queue.request(cursed)["status"] == "pending"
