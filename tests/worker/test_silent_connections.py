"""Connections that are half open: nothing closes them, and no answer ever comes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from llmreq.database.connection import SilentServerError
from llmreq.database.migrate import require_current
from llmreq.errors import DatabaseUnavailableError
from llmreq.simulator.process import Simulator
from llmreq.worker.link import Link
from tests.chaos.proxy import Proxy
from tests.worker.fleet import Fleet, Table, check_bill, until
from tests.worker.test_resilience import BULK, OPEN


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    folder = conninfo_to_dict(database)["host"]
    with Proxy(f"{folder}/.s.PGSQL.5432") as proxy:
        yield proxy


@pytest.fixture
def through(database: str, proxy: Proxy) -> str:
    """The database's URL, by way of the proxy."""
    name = conninfo_to_dict(database)["dbname"]
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}?sslmode=disable&gssencmode=disable"


def test_a_statement_without_an_answer_is_given_up_and_the_next_has_another_connection(
    through: str, proxy: Proxy
) -> None:
    async def main() -> tuple[int, int]:
        link = Link(lambda: through, "test", silence_seconds=0.3)
        first = await _backend(link)
        proxy.freeze()
        with pytest.raises(SilentServerError, match="did not answer"):
            await _backend(link)
        second = await _backend(link)
        await link.close()
        return first, second

    first, second = asyncio.run(main())
    assert first != second


def test_a_long_statement_that_was_given_up_is_stopped_in_the_server(database: str) -> None:
    async def main() -> None:
        link = Link(lambda: database, "sleeper", silence_seconds=0.3)
        with pytest.raises(SilentServerError):
            async with link.use() as connection:
                await connection.execute("SELECT pg_sleep(60)")

    asyncio.run(main())
    sessions = "SELECT * FROM pg_stat_activity WHERE application_name = 'sleeper'"
    until("its session to be gone", lambda: not Table(database).all(sessions), seconds=5)


def test_a_slow_answer_is_not_silence(database: str) -> None:
    async def main() -> int:
        link = Link(lambda: database, "test", silence_seconds=0.5)
        async with link.use() as connection:
            cursor = await connection.execute(
                # Two seconds in rows of 64 kB, so that none waits in the server's buffer.
                "SELECT repeat('x', 65536), pg_sleep(0.1) FROM generate_series(1, 20)"
            )
            rows = len(await cursor.fetchall())
        await link.close()
        return rows

    assert asyncio.run(main()) == 20


def test_a_cancelled_statement_does_not_wait_for_the_server(through: str, proxy: Proxy) -> None:
    async def main() -> float:
        link = Link(lambda: through, "test")
        await _backend(link)
        proxy.freeze()
        task = asyncio.create_task(_backend(link))
        await asyncio.sleep(0.1)
        cut_at = time.monotonic()
        task.cancel()
        await asyncio.wait((task,))
        return time.monotonic() - cut_at

    assert asyncio.run(main()) < 2


def test_a_server_that_accepts_and_says_nothing_is_given_up_too(through: str, proxy: Proxy) -> None:
    async def main() -> None:
        link = Link(lambda: through, "test", open_seconds=0.3)
        await _backend(link)

    proxy.silence(True)
    with pytest.raises(DatabaseUnavailableError):
        asyncio.run(main())


def test_the_schema_check_at_the_start_ends_when_the_server_goes_silent(
    through: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmreq.database.connection.BoundedConnection.silence_seconds", 0.3)
    connect = psycopg.Connection.connect.__func__  # type: ignore[attr-defined]

    def connect_and_lose(cls: type[psycopg.Connection[object]], *args: object, **kwargs: object) -> object:
        connection = connect(cls, *args, **kwargs)
        proxy.freeze()
        return connection

    monkeypatch.setattr(psycopg.Connection, "connect", classmethod(connect_and_lose))
    with pytest.raises(DatabaseUnavailableError, match="did not answer"):
        require_current(through)


def test_a_worker_goes_on_when_all_its_connections_go_silent(
    through: str, proxy: Proxy, table: Table, simulator: Simulator, tmp_path: Path
) -> None:
    fleet = Fleet(through, simulator, tmp_path, LLMREQ_LEASE_SECONDS="6", LLMREQ_HEARTBEAT_SECONDS="2")
    sessions = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
    try:
        fleet.start()
        for name in ("llmreq heart", "llmreq claimer", "llmreq chores"):
            until(f"a session of {name}", lambda name=name: table.all(sessions, name))
        until("the spool's session to be given back", lambda: not table.all(sessions, "llmreq replay"))
        proxy.freeze()
        before = table.one("SELECT id, now() AS frozen_at FROM llm_workers")
        row = table.insert(provider="openai", model="gpt-6-luna", content="hi")
        until("the row's end", lambda: table.request(row)["status"] == "completed", seconds=25)
        after = table.one("SELECT id, heartbeat_at FROM llm_workers")
    finally:
        fleet.stop()
    assert after["id"] == before["id"], "it was taken for dead"
    assert after["heartbeat_at"] > before["frozen_at"]
    assert "worker_fenced" not in fleet.logs()


@pytest.mark.parametrize(
    ("signals", "exit_code", "at_most_seconds"),
    [
        ([signal.SIGTERM], 0, 15.0),
        ([signal.SIGTERM, signal.SIGTERM], 0, 1.5),
        ([signal.SIGTERM, signal.SIGINT, signal.SIGTERM], 1, 1.5),
    ],
    ids=["asked", "hurried", "killed"],
)
def test_a_worker_ends_in_bounded_time_without_a_word_from_postgres_and_nothing_is_lost_or_bought_twice(
    through: str,
    proxy: Proxy,
    table: Table,
    simulator: Simulator,
    tmp_path: Path,
    signals: list[signal.Signals],
    exit_code: int,
    at_most_seconds: float,
) -> None:
    simulator.configure(latency_ms="400")
    fleet = Fleet(through, simulator, tmp_path, LLMREQ_DRAIN_SECONDS="1")
    try:
        table.all(BULK, 5)
        worker = fleet.start()
        until("its calls to be out", lambda: simulator.state()["in_flight"] == 5)
        proxy.freeze()
        proxy.silence(True)
        until("the answers", lambda: simulator.state()["in_flight"] == 0)
        told_at = time.monotonic()
        for number in signals:
            worker.send_signal(number)
            until("the signal to be heard", lambda: '"draining"' in fleet.logs())
        assert worker.wait(timeout=30) == exit_code
        took = time.monotonic() - told_at
        assert len(list((tmp_path / "spool").rglob("*.jsonl"))) == 1
        proxy.silence(False)
        assert fleet.drain() == 0
    finally:
        fleet.stop()
    assert took < at_most_seconds
    assert table.count(OPEN) == 0
    assert table.count("status = 'completed'") == 5
    assert len(simulator.calls()) == 5, "an answer was bought twice"
    check_bill(table, simulator)


def test_an_outage_longer_than_the_lease_buys_nothing_twice(
    through: str, proxy: Proxy, table: Table, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.configure(latency_ms="300")
    fleet = Fleet(through, simulator, tmp_path)
    try:
        table.all(BULK, 60)
        for _ in range(2):
            fleet.start("--concurrency", "10")
        until("a third to be done", lambda: table.count("status = 'completed'") >= 20)
        proxy.silence(True)
        until("the answers", lambda: simulator.state()["in_flight"] == 0)
        expired = "SELECT bool_and(lease_until < now()) AS all FROM llm_workers"
        until("every lease to end", lambda: table.one(expired)["all"])
        proxy.cut()
        proxy.silence(False)
        until("all to end", lambda: table.count(OPEN) == 0)
    finally:
        fleet.stop()
    assert table.count("status = 'completed'") == 60
    assert len(simulator.calls()) == 60, "an answer was bought twice"
    assert "worker_fenced" not in fleet.logs()
    assert table.all("SELECT * FROM llm_attempts WHERE outcome = 'lost'") == []


async def _backend(link: Link) -> int:
    async with link.use() as connection:
        row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
        assert row is not None
        return int(row[0])
