"""Settling goes on around whatever cannot be settled: bad outcomes, held locks, lost connections (invariants 3 and 11)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from llmreq.worker import engine
from llmreq.worker.backlog import Backlog
from llmreq.worker.link import Link
from llmreq.worker.report import Report, report
from llmreq.worker.settler import Fate, Settler
from tests.engine.queue import Queue, Row
from tests.worker.test_claimer import until

ANSWER = {
    "outcome": "completed",
    "response": "yes",
    "billed": "usage",
    "input_tokens": 10,
    "output_tokens": 2,
}


@pytest.fixture
def queue(database: str) -> Iterator[Queue]:
    queue = Queue.open(database)
    queue.run("SELECT set_config('llmreq.now', '', false)")
    yield queue
    assert queue.all("SELECT * FROM llmreq_ledger_check") == [], "the books do not balance after this test"


def claimed(queue: Queue, worker: int, count: int, **columns: Any) -> list[Row]:
    rows = [queue.insert(**columns) for _ in range(count)]
    claims = queue.claim(worker, count)
    assert {row["id"] for row in claims} == {row["id"] for row in rows}
    return claims


def answer(claim: Row, **facts: Any) -> Report:
    given = {**ANSWER, "max_output_tokens": claim["max_output_tokens"], **facts}
    return report(claim["id"], claim["claim_seq"], claim["claimed_at"], given)


def settling(
    url: str | Callable[[], str], worker: int, then: Callable[[Settler], Awaitable[None]], **options: Any
) -> list[Report]:
    """What was left when it stopped."""

    async def main() -> list[Report]:
        link = Link((lambda: url) if isinstance(url, str) else url, "test")
        settler = Settler(link, lambda: worker, 0.005, Backlog(**options))
        settler.start()
        try:
            async with asyncio.timeout(20):
                await then(settler)
        finally:
            left = await settler.stop(patience_seconds=0.2)
        return left

    return asyncio.run(main())


def statuses(queue: Queue, claims: list[Row]) -> set[str]:
    ids = [claim["id"] for claim in claims]
    return {row["status"] for row in queue.all("SELECT status FROM llm_requests WHERE id = ANY (%s)", ids)}


def on_update(queue: Queue, body: str) -> None:
    """A user's own trigger; `cursed` is the agent it dislikes."""
    queue.run(
        "CREATE FUNCTION users_own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.agent_id = 'cursed' AND OLD.status = 'processing' THEN {body} END IF; RETURN NEW; END $$"
    )
    queue.run(
        "CREATE TRIGGER zz_users_own BEFORE UPDATE ON llm_requests FOR EACH ROW EXECUTE FUNCTION users_own()"
    )


def test_an_outcome_refused_even_without_its_answer_holds_up_no_other(queue: Queue, database: str) -> None:
    worker = queue.worker()
    cursed = claimed(queue, worker, 2, agent_id="cursed")
    others = claimed(queue, worker, 40)
    on_update(queue, "RAISE 'not today';")

    async def then(settler: Settler) -> None:
        for claim in (*others[:20], *cursed, *others[20:]):
            settler.put(answer(claim))
        await settler.settled()
        assert statuses(queue, others) == {"completed"}
        assert (settler.backlog, settler.is_behind) == (2, False)
        queue.run("DROP TRIGGER zz_users_own ON llm_requests")
        await until(lambda: settler.backlog == 0)

    with capture_logs() as logs:
        assert settling(database, worker, then) == []
    parked = [line for line in logs if line["event"] == "outcome_parked"]
    assert {line["request_id"] for line in parked} == {str(claim["id"]) for claim in cursed}
    assert len(parked) == 2
    assert {line["error"] for line in parked} == {"RaiseException: SQLSTATE P0001"}
    responses = {queue.request(claim)["response"] for claim in cursed}
    assert responses == {"yes"}, "the answer was kept until it could be stored"


def test_an_answer_that_a_check_refuses_is_booked_without_it(queue: Queue, database: str) -> None:
    worker = queue.worker()
    (long,) = claimed(queue, worker, 1, max_attempts=1)
    others = claimed(queue, worker, 9)
    queue.run("ALTER TABLE llm_requests ADD CONSTRAINT short_answers CHECK (length(response) < 1000)")

    async def then(settler: Settler) -> None:
        for claim in (long, *others):
            settler.put(answer(claim, response="x" * (5000 if claim is long else 5)))
        await until(lambda: settler.backlog == 0)

    assert settling(database, worker, then) == []
    assert statuses(queue, others) == {"completed"}
    ended = queue.request(long)
    assert (ended["status"], ended["error_code"], ended["input_tokens"]) == ("failed", "internal", 10)
    assert "short_answers" in ended["error_message"]


def test_a_locked_row_is_passed_over_and_settled_when_it_is_let_go(queue: Queue, database: str) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 40)

    async def then(settler: Settler) -> None:
        with psycopg.connect(database) as somebody:
            somebody.execute("SELECT FROM llm_requests WHERE id = %s FOR UPDATE", (claims[7]["id"],))
            for claim in claims:
                settler.put(answer(claim))
            await until(lambda: settler.backlog == 1, seconds=2)
            assert settler.claims == {(claims[7]["id"], 1)}
            assert not settler.is_behind
        await until(lambda: settler.backlog == 0, seconds=2)

    settling(database, worker, then)
    assert statuses(queue, claims) == {"completed"}


def test_a_locked_lane_stops_no_other_lane(queue: Queue, database: str) -> None:
    worker = queue.worker()
    blocked = claimed(queue, worker, 20, provider="openai", model="gpt-6-luna")
    free = claimed(queue, worker, 40, provider="anthropic", model="claude-haiku-5-5")

    async def then(settler: Settler) -> None:
        with psycopg.connect(database) as somebody:
            somebody.execute("SELECT FROM llm_lanes WHERE lane = 'openai/gpt-6-luna' FOR UPDATE")
            for mixed in zip(blocked, free[:20], strict=True):
                for claim in mixed:
                    settler.put(answer(claim))
            await until(lambda: settler.backlog == 20, seconds=2)
            for claim in free[20:]:
                settler.put(answer(claim))
            await until(lambda: settler.backlog == 20, seconds=1)
            assert statuses(queue, free) == {"completed"}
        await until(lambda: settler.backlog == 0, seconds=3)

    settling(database, worker, then)
    assert statuses(queue, blocked) == {"completed"}


def test_answers_of_a_lane_known_to_be_locked_wait_for_no_lock(
    queue: Queue, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = queue.worker()
    blocked = claimed(queue, worker, 10)
    waits = []
    real = engine.finish

    async def counting(*arguments: Any) -> Any:
        try:
            return await real(*arguments)
        except psycopg.errors.LockNotAvailable:
            waits.append(1)
            raise

    monkeypatch.setattr(engine, "finish", counting)

    async def then(settler: Settler) -> None:
        with psycopg.connect(database) as somebody:
            somebody.execute("SELECT FROM llm_lanes FOR UPDATE")
            for number, claim in enumerate(blocked, 1):
                settler.put(answer(claim))
                await until(lambda: len(settler._backlog._parked) == number)  # noqa: B023
        await until(lambda: settler.backlog == 0)

    settling(database, worker, then)
    assert len(waits) == 1


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
def test_what_passes_by_itself_is_tried_again_with_its_answer(
    queue: Queue, database: str, state: str
) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 3, agent_id="cursed")
    queue.run("CREATE SEQUENCE tries")  # not undone with what it counts
    on_update(queue, f"IF nextval('tries') < 4 THEN RAISE 'again' USING ERRCODE = '{state}'; END IF;")

    async def then(settler: Settler) -> None:
        for claim in claims:
            settler.put(answer(claim))
        await until(lambda: settler.backlog == 0)

    settling(database, worker, then)
    assert statuses(queue, claims) == {"completed"}


def test_a_schema_in_the_middle_of_a_change_costs_no_answer(queue: Queue, database: str) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 10)
    queue.run("ALTER FUNCTION llmreq_finish RENAME TO llmreq_finish_away")

    async def then(settler: Settler) -> None:
        for claim in claims:
            settler.put(answer(claim))
        await until(lambda: len(settler._backlog._parked) == 10)
        queue.run("ALTER FUNCTION llmreq_finish_away RENAME TO llmreq_finish")
        await until(lambda: settler.backlog == 0)

    settling(database, worker, then)
    assert {queue.request(claim)["response"] for claim in claims} == {"yes"}


def test_an_outcome_that_ends_every_connection_is_found_and_set_aside(queue: Queue, database: str) -> None:
    worker = queue.worker()
    (cursed,) = claimed(queue, worker, 1, agent_id="cursed")
    others = claimed(queue, worker, 7)
    on_update(queue, "PERFORM pg_terminate_backend(pg_backend_pid());")

    async def then(settler: Settler) -> None:
        for claim in (*others[:4], cursed, *others[4:]):
            settler.put(answer(claim))
        await until(lambda: settler.backlog == 1)
        assert settler.claims == {(cursed["id"], 1)}
        queue.run("DROP TRIGGER zz_users_own ON llm_requests")
        await until(lambda: settler.backlog == 0)

    settling(database, worker, then)
    assert statuses(queue, [cursed, *others]) == {"completed"}


def test_statements_are_bounded_by_bytes(
    queue: Queue, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 10)
    sizes = []
    real = engine.finish

    async def measuring(connection: Any, worker_id: int, outcomes: list[bytes]) -> Any:
        sizes.append((len(outcomes), sum(map(len, outcomes))))
        return await real(connection, worker_id, outcomes)

    monkeypatch.setattr(engine, "finish", measuring)

    async def then(settler: Settler) -> None:
        for number, claim in enumerate(claims):
            settler.put(answer(claim, response="x" * (200_000 if number == 5 else 30_000)))
        assert settler.backlog_bytes > 400_000
        await until(lambda: settler.backlog == 0)
        assert settler.backlog_bytes == 0

    settling(database, worker, then, batch_bytes=100_000)
    assert sum(count for count, _ in sizes) == 10
    assert all(count == 1 or size <= 100_000 for count, size in sizes)


def test_it_is_behind_from_a_failure_of_the_database_until_what_waited_is_settled(
    queue: Queue, database: str
) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 5)
    away = ["postgresql://nobody@127.0.0.1:1/none"]

    async def then(settler: Settler) -> None:
        assert not settler.is_behind
        for claim in claims:
            settler.put(answer(claim))
        await until(lambda: settler.is_behind)
        away.clear()
        await until(lambda: not settler.is_behind)
        assert statuses(queue, claims) == {"completed"}

    settling(lambda: away[0] if away else database, worker, then)


def test_what_is_left_at_the_end_is_given_back(queue: Queue, database: str) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 3, agent_id="cursed")
    on_update(queue, "RAISE 'never';")

    async def then(settler: Settler) -> None:
        for claim in claims:
            settler.put(answer(claim))
        await settler.settled()

    left = settling(database, worker, then)
    assert [each.encoded for each in left] == [answer(claim).encoded for claim in claims]
    queue.run("DROP TRIGGER zz_users_own ON llm_requests")
    for claim in claims:
        queue.finish(worker, claim)


def test_who_keeps_an_outcome_learns_what_became_of_it(queue: Queue, database: str) -> None:
    worker = queue.worker()
    (good,) = claimed(queue, worker, 1)
    (cursed,) = claimed(queue, worker, 1, agent_id="cursed")
    on_update(queue, "RAISE 'never';")

    async def then(settler: Settler) -> None:
        fates = [settler.book(answer(claim)) for claim in (good, cursed)]
        assert await asyncio.gather(*fates) == [Fate.BOOKED, Fate.REFUSED]
        assert settler.backlog == 0

    settling(database, worker, then)
    queue.run("DROP TRIGGER zz_users_own ON llm_requests")
    queue.finish(worker, cursed)


def test_what_somebody_else_keeps_is_not_given_back_at_the_end(queue: Queue, database: str) -> None:
    worker = queue.worker()
    (claim,) = claimed(queue, worker, 1)

    async def then(settler: Settler) -> None:
        settler.book(answer(claim))

    assert settling("postgresql://nobody@127.0.0.1:1/none", worker, then) == []
    queue.finish(worker, claim)
