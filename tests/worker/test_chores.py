"""Chores: one that raises or hangs is told of and tried again; no other waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from structlog.testing import capture_logs

from llmreq.limits import CHORE_SILENCE_SECONDS
from llmreq.worker.keeper import Keeper, chores
from llmreq.worker.link import Link
from llmreq.worker.loop import RepeatedErrors
from tests.worker.fleet import Table

LEASE_SECONDS = 3.0
NAMES = {each.name for each in chores(LEASE_SECONDS)} - {"events", "retention"}
"""Chores that are one function each."""
ASLEEP = """
SELECT count(*) AS n FROM pg_stat_activity
WHERE query LIKE '%%llmreq%%' AND state = 'active' AND wait_event = 'PgSleep' AND datname = current_database()
"""


@pytest.fixture
def queue(database: str) -> Table:
    return Table(database)


def test_every_chore_has_its_deadline() -> None:
    assert {each.name for each in chores(LEASE_SECONDS)} == CHORE_SILENCE_SECONDS.keys()


@pytest.mark.parametrize("broken", sorted(NAMES))
def test_a_chore_that_raises_holds_up_no_other(queue: Table, broken: str) -> None:
    _replace(queue, broken, "RAISE EXCEPTION 'a chore of bad luck'")
    done = _watched(queue, but=broken)
    with capture_logs() as logs:
        _keep(queue, done)
    errors = [line for line in logs if line["event"] == "loop_error"]
    assert {line["loop"] for line in errors} == {broken}
    assert len(errors) == 1, "the same error is told once"


@pytest.mark.parametrize("broken", ["rescue", "explain_waiting"])
def test_a_chore_that_hangs_holds_up_no_other(
    queue: Table, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CHORE_SILENCE_SECONDS, broken, 0.3)
    _replace(queue, broken, "PERFORM pg_sleep(60)")
    _keep(queue, _watched(queue, but=broken))
    assert queue.one(ASLEEP)["n"] == 0, "what was given up goes on in the server"


def test_a_row_that_stops_a_rescue_stops_nothing_else(queue: Table) -> None:
    row = queue.insert(provider="openai", model="gpt-6-luna", content="hi", expires_at="now")
    poison = queue.insert(provider="openai", model="gpt-6-luna", content="hi")
    queue.all("ALTER TABLE llm_requests DISABLE TRIGGER USER")
    queue.all(
        "UPDATE llm_requests SET rescues = 32767, status = 'processing', worker_id = 999999 WHERE id = %s",
        poison["id"],
    )
    queue.all("ALTER TABLE llm_requests ENABLE TRIGGER USER")
    _keep(queue, lambda: queue.request(row)["status"] == "failed")


def test_no_chore_runs_while_it_may_not_and_each_soon_after(queue: Table) -> None:
    allowed: set[str] = set()
    done = _watched(queue, but="rescue")

    async def main(keeper: Keeper) -> None:
        await asyncio.sleep(0.3)
        assert queue.one("SELECT count(*) AS n FROM chores_done")["n"] == 0
        allowed.update(CHORE_SILENCE_SECONDS.keys() - {"rescue"})
        await _until(done)
        assert queue.all("SELECT * FROM chores_done WHERE name = 'rescue'") == []

    _run(queue, main, allowed.__contains__)


def test_the_same_error_is_told_at_its_1st_10th_and_100th_time_and_a_new_one_at_once() -> None:
    errors = RepeatedErrors("failed", chore="rescue")
    with capture_logs() as logs:
        for number in range(120):
            errors.add(RuntimeError(f"row {number} is broken"))
        errors.add(KeyError("other"))
        errors.over()
        errors.add(KeyError("other"))
    assert [line["times"] for line in logs if line["event"] == "failed"] == [1, 10, 100, 1, 1]


def _replace(queue: Table, chore: str, body: str) -> None:
    """The chore's function does something else now."""
    found = queue.one(
        "SELECT pg_get_function_arguments(oid) AS arguments, pg_get_function_result(oid) AS result"
        " FROM pg_proc WHERE proname = 'llmreq_' || %s",
        chore,
    )
    queue.all(
        f"CREATE OR REPLACE FUNCTION llmreq_{chore}({found['arguments']}) RETURNS {found['result']}"
        f" LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN 0; END $$"
    )


def _watched(queue: Table, *, but: str) -> Callable[[], bool]:
    """Whether every chore but one (and those that are no function of their own) has been done."""
    names = NAMES - {but}
    queue.all("CREATE TABLE chores_done (name text)")
    for name in names:
        _replace(queue, name, f"INSERT INTO chores_done VALUES ('{name}')")
    return lambda: {row["name"] for row in queue.all("SELECT DISTINCT name FROM chores_done")} >= names


def _keep(queue: Table, done: Callable[[], bool]) -> None:
    async def main(_keeper: Keeper) -> None:
        await _until(done)

    _run(queue, main, lambda _: True)


def _run(
    queue: Table, main: Callable[[Keeper], Coroutine[Any, Any, None]], may_run: Callable[[str], bool]
) -> None:
    async def run() -> None:
        quick, slow = (Link(lambda: queue.url, name) for name in ("quick", "slow"))
        keeper = Keeper(quick, slow, LEASE_SECONDS, 90, may_run)
        keeper.start()
        try:
            await main(keeper)
        finally:
            await keeper.stop()

    asyncio.run(run())


async def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not await asyncio.to_thread(done):
        assert time.monotonic() < deadline, "chores wait for one another"
        await asyncio.sleep(0.02)
