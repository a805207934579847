"""Workers that die, freeze and are told to stop; a database that goes away; cancellations of running calls."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmreq.database.embedded import EmbeddedPostgres
from llmreq.database.migrate import migrate
from llmreq.database.pg_cluster import Cluster
from llmreq.simulator.process import Simulator
from tests.worker.fleet import Fleet, Table, check_bill, until

BULK = """
INSERT INTO llm_requests (provider, model, content, tenant_id)
SELECT CASE WHEN n %% 2 = 0 THEN 'openai' ELSE 'anthropic' END,
       CASE WHEN n %% 2 = 0 THEN 'gpt-6-luna' ELSE 'claude-haiku-5-5' END, 'request ' || n, 't' || n %% 5
FROM generate_series(1, %s) n
"""
OPEN = "status IN ('pending', 'processing', 'waiting')"


@pytest.fixture
def own_server() -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, to be restarted; in a folder that its user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="llmreq-restart-", dir="/tmp"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(Cluster(folder / "postgres"))
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def test_nothing_is_lost_when_a_worker_is_killed_and_postgres_restarts(
    own_server: EmbeddedPostgres, simulator: Simulator, tmp_path: Path
) -> None:
    url = own_server.ensure_running()
    migrate(url)
    table = Table(url)
    simulator.configure(latency_ms="lognormal:150:0.5")
    fleet = Fleet(url, simulator, tmp_path, LLMREQ_CONCURRENCY="30")
    try:
        table.all(BULK, 2000)
        victim, *_ = [fleet.start() for _ in range(3)]
        until("a third to be done", lambda: table.count("status = 'completed'") >= 600)
        its_calls = f"worker_id = (SELECT id FROM llm_workers WHERE name LIKE '%:{victim.pid}')"
        until("the victim to call", lambda: table.count(its_calls.replace("%", "%%")) > 0)
        victim.kill()
        until("another third", lambda: table.count("status = 'completed'") >= 1000)
        own_server.stop()
        own_server.ensure_running()
        until("all to end", lambda: table.count(OPEN) == 0)
    finally:
        fleet.stop()
    assert table.count("status = 'completed'") == 2000
    accepted = table.one(
        "SELECT count(*) AS n, count(DISTINCT request_id) AS ids FROM llm_attempts WHERE accepted"
    )
    assert accepted == {"n": 2000, "ids": 2000}
    assert table.one("SELECT count(*) AS n FROM llm_attempts WHERE outcome = 'lost'")["n"] > 0
    assert table.all("SELECT * FROM llmreq_ledger_check") == []
    check_bill(table, simulator)


def test_a_frozen_worker_is_replaced_and_its_late_answers_are_booked_once(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    simulator.configure(latency_ms="1500")
    table.all(BULK, 20)
    frozen = fleet.start()
    until("its calls to be out", lambda: simulator.state()["in_flight"] == 20)
    frozen.send_signal(signal.SIGSTOP)
    other = fleet.start()
    until("the rescue", lambda: table.one("SELECT count(*) AS n FROM llm_attempts")["n"] >= 20)
    frozen.send_signal(signal.SIGCONT)
    until("all to end", lambda: table.count(OPEN) == 0)
    until("the frozen one to be back", lambda: "worker_fenced" in fleet.logs())
    for worker in (frozen, other):
        worker.terminate()
        assert worker.wait(timeout=30) == 0
    assert table.one("SELECT count(*) AS n FROM llm_attempts WHERE accepted")["n"] == 20
    assert table.count("status = 'completed'") == 20
    check_bill(table, simulator)


def test_a_running_call_is_cancelled_within_a_second_and_booked(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    row = table.insert(provider="openai", model="gpt-6-luna", content="[[sim:hang]]", timeout_seconds=300)
    fleet.start()
    until("the call to be out", lambda: simulator.state()["in_flight"] == 1)
    asked = time.monotonic()
    table.one("SELECT llmreq_cancel(%s) AS s", row["id"])
    until("the call to be cut", lambda: simulator.state()["in_flight"] == 0)
    until("the row to end", lambda: table.request(row)["status"] == "cancelled")
    assert time.monotonic() - asked < 1.5
    (attempt,) = table.attempts(row)
    assert (attempt["outcome"], attempt["cost_basis"]) == ("cancelled", "upper_bound")


def test_sigterm_lets_calls_end_and_claims_no_more(table: Table, fleet: Fleet, simulator: Simulator) -> None:
    simulator.configure(latency_ms="800")
    table.all(BULK, 40)
    worker = fleet.start("--concurrency", "10")
    until("its calls to be out", lambda: simulator.state()["in_flight"] == 10)
    worker.terminate()
    assert worker.wait(timeout=30) == 0
    assert table.count("status = 'completed'") == 10
    assert table.count("status = 'pending' AND attempts = 0") == 30
    assert table.all("SELECT * FROM llm_workers") == []


def test_a_second_sigterm_hands_calls_back_without_charging_an_attempt(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    row = table.insert(provider="openai", model="gpt-6-luna", content="[[sim:hang]]", timeout_seconds=300)
    worker = fleet.start()
    until("the call to be out", lambda: simulator.state()["in_flight"] == 1)
    worker.terminate()
    until("the drain", lambda: "draining" in fleet.logs())
    worker.terminate()
    assert worker.wait(timeout=30) == 0
    back = table.request(row)
    assert (back["status"], back["attempts"], back["error_code"]) == ("pending", 0, None)
    (attempt,) = table.attempts(row)
    assert (attempt["outcome"], attempt["accepted"], attempt["cost_basis"]) == (
        "released",
        False,
        "upper_bound",
    )


def test_answers_that_postgres_cannot_take_at_the_end_are_spooled_and_replayed(
    own_server: EmbeddedPostgres, simulator: Simulator, tmp_path: Path
) -> None:
    url = own_server.ensure_running()
    migrate(url)
    table = Table(url)
    simulator.configure(latency_ms="700")
    fleet = Fleet(url, simulator, tmp_path, LLMREQ_DRAIN_SECONDS="2")
    try:
        table.all(BULK, 10)
        worker = fleet.start()
        until("its calls to be out", lambda: simulator.state()["in_flight"] == 10)
        own_server.stop()
        until("the answers", lambda: simulator.state()["in_flight"] == 0)
        worker.terminate()
        assert worker.wait(timeout=60) == 0
        assert len(list((tmp_path / "spool").glob("*/*.jsonl"))) == 1
        own_server.ensure_running()
        assert table.count("status = 'processing'") == 10
        assert fleet.drain() == 0
    finally:
        fleet.stop()
    assert table.count("status = 'completed'") == 10
    assert list((tmp_path / "spool").glob("*/*")) == []
    assert (
        table.one("SELECT count(*) AS n FROM llm_attempts WHERE accepted AND outcome = 'completed'")["n"]
        == 10
    )
    check_bill(table, simulator)


def test_a_worker_brings_its_embedded_server_back(
    own_server: EmbeddedPostgres, simulator: Simulator, tmp_path: Path
) -> None:
    migrate(own_server.ensure_running())
    table = Table(own_server.url())
    data_dir = own_server.cluster.folder.parent
    fleet = Fleet("", simulator, tmp_path, LLMREQ_DATABASE_URL="", LLMREQ_DATA_DIR=str(data_dir))
    try:
        worker = fleet.start()
        until("the worker registers", lambda: table.all("SELECT * FROM llm_workers"))
        first = own_server.status().pid
        assert first is not None
        os.kill(first, signal.SIGKILL)  # nobody but the worker will start it again
        until("the server is back", lambda: own_server.status().pid not in (None, first))
        row = table.insert(provider="openai", model="gpt-6-luna", content="hi")
        until("its end", lambda: table.request(row)["status"] == "completed")
        worker.terminate()
        assert worker.wait(30) == 0
    finally:
        fleet.stop()


def test_a_worker_started_without_its_database_says_so_in_one_line(fleet: Fleet) -> None:
    worker = fleet.start(LLMREQ_DATABASE_URL="postgresql://nobody:s3cret@127.0.0.1:1/none")
    assert worker.wait(timeout=30) == 1
    said = fleet.logs().strip()
    assert said.count("\n") == 0
    assert "127.0.0.1" in said
    assert "s3cret" not in said


def test_a_worker_refuses_a_database_without_its_schema(fleet: Fleet, empty_database: str) -> None:
    assert fleet.start(LLMREQ_DATABASE_URL=empty_database).wait(timeout=30) == 1
    assert "run llmreq migrate" in fleet.logs()
    assert "Traceback" not in fleet.logs()


def test_the_doorbell_wakes_an_idle_worker_long_before_its_poll(table: Table, fleet: Fleet) -> None:
    table.all("SELECT llmreq_set_doorbell(true)")
    fleet.start(LLMREQ_POLL_MS="10000")
    until("the worker says that it is idle", lambda: table.all("SELECT * FROM llm_workers WHERE idle"))
    for _ in range(3):
        row = table.insert(provider="openai", model="gpt-6-luna", content="hi")
        until("its end", lambda row=row: table.request(row)["status"] == "completed", seconds=5)
