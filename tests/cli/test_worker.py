from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from llmreq import Client
from tests.engine.queue import HELLO

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(database: str, tmp_path: Path, bare: None) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LLMREQ_DATABASE_URL": database,
        "LLMREQ_DATA_DIR": str(tmp_path),
    }


def worker(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llmreq", "worker", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_a_drain_of_an_empty_queue_ends_with_0_and_logs_json(environment: dict[str, str]) -> None:
    ended = worker(environment, "--drain")
    assert ended.returncode == 0, ended.stderr
    events = [json.loads(line)["event"] for line in ended.stderr.splitlines()]
    assert "worker_registered" in events


def test_a_drain_that_leaves_stuck_requests_says_why_lane_by_lane(
    database: str, environment: dict[str, str]
) -> None:
    with Client(database) as client:
        client.enqueue(messages=HELLO, model="openai/gpt-6-luna")
        client.enqueue(messages=HELLO, model="anthropic/claude-haiku-5-5")
    ended = worker(environment, "--drain")
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if line.startswith("llmreq: ")]
    assert [line.split(": ")[1] for line in said] == ["anthropic/claude-haiku-5-5", "openai/gpt-6-luna"]
    assert "OPENAI_API_KEY" in said[1]


def test_a_schema_that_is_not_current_is_refused_at_the_start(
    database: str, environment: dict[str, str]
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE llmreq_meta SET value = 'old'")
    ended = worker(environment)
    assert ended.returncode == 1
    assert (
        ended.stderr == "llmreq: the database's llmreq functions are of another version: run llmreq migrate\n"
    )


@pytest.fixture
def fleet(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "llmreq", "worker", "--processes", "2"]
    parent = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    guard = threading.Timer(60, parent.kill)
    guard.start()
    yield parent
    guard.cancel()
    parent.terminate()
    parent.wait()


def test_one_signal_to_the_parent_ends_all_its_processes(database: str, fleet: subprocess.Popen[str]) -> None:
    assert fleet.stderr is not None
    registered = 0
    for line in fleet.stderr:
        registered += json.loads(line)["event"] == "worker_registered"
        if registered == 2:
            break
    fleet.send_signal(signal.SIGTERM)
    assert fleet.wait(30) == 0
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM llm_workers").fetchone() == (0,)
