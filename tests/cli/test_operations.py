from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import psycopg
import pytest
from click.testing import CliRunner

from llmreq.cli.main import COMMANDS, cli
from tests.cli.conftest import Run, documents
from tests.engine.queue import Queue

ROOT = Path(__file__).parents[2]


def llmreq(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llmreq", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_command_helps_with_an_example() -> None:
    names = cli.list_commands(click.Context(cli))
    assert set(names) <= set(COMMANDS)
    for name in names:
        result = CliRunner().invoke(cli, [name, "--help"])
        assert result.exit_code == 0, (name, result.output)
        assert f"llmreq {name}" in result.output


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LLMREQ_DATABASE_URL": "mysql://x"}, "LLMREQ_DATABASE_URL"),
        ({"LLMREQ_CONCURRENCY": "many"}, "LLMREQ_CONCURRENCY"),
        ({"LLMREQ_DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/none"}, "cannot reach"),
    ],
)
@pytest.mark.parametrize("command", ["status", "list"])
def test_a_wrong_environment_is_one_line_and_no_traceback(
    bare: None, environment: dict[str, str], said: str, command: str
) -> None:
    ended = llmreq(command, **environment)
    assert ended.returncode == 1
    assert ended.stderr.startswith("llmreq: ")
    assert ended.stderr.count("\n") == 1
    assert said in ended.stderr
    assert "secret" not in ended.stderr


def test_a_database_without_the_schema_is_refused_until_migrated(run: Run, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    refused = run("status")
    assert refused.exit_code == 1
    assert refused.stderr == "llmreq: this database has no llmreq schema: run llmreq migrate\n"
    doctor = run("doctor")
    assert (doctor.exit_code, "run llmreq migrate" in doctor.stdout) == (1, True)
    assert run("migrate").exit_code == 0
    assert run("migrate").exit_code == 0
    assert run("status").exit_code == 0


def test_prices_are_versions_and_unknown_ones_are_loud(run: Run) -> None:
    run("enqueue", "x", "--provider", "mine", "--model", "m")
    assert "UNPRICED: mine/m" in run("status").stdout
    assert run("prices", "set", "mine/m", "--input", "0.1", "--output", "2").exit_code == 0
    assert "UNPRICED" not in run("status").stdout
    run("prices", "set", "mine/m", "--input", "0.2", "--output", "2")
    (price,) = documents(run("prices", "list", "mine/m", "--json"))
    assert price["input_usd_per_mtok"] == 0.2
    assert len(documents(run("prices", "list", "mine/m", "--all", "--json"))) == 2
    assert run("prices", "set", "mine/m", "--input=-1", "--output", "2").exit_code == 1
    assert run("prices", "set", "mine", "--input", "1", "--output", "2").exit_code == 1
    assert run("prices", "set", "mine/m", "--input", "cheap", "--output", "2").exit_code == 2


def test_a_route_is_set_replaced_and_removed(run: Run) -> None:
    (made,) = documents(run("routes", "set", "mine/m", "local/rules", "--task-type", "own", "--json"))
    (same,) = documents(run("routes", "set", "mine/n", "--task-type", "own", "--json"))
    assert made == same
    found = {route["id"]: route for route in documents(run("routes", "list", "--json"))}
    assert found[made["id"]]["candidates"] == ["mine/n"]
    assert run("routes", "set", "no-lane").exit_code == 1
    assert run("routes", "remove", made["id"]).exit_code == 0
    assert run("routes", "remove", made["id"]).exit_code == 1


def test_status_says_why_requests_wait(run: Run, queue: Queue) -> None:
    run("enqueue", "x", "--model", "openai/gpt-6-luna")
    (status,) = documents(run("status", "--json"))
    assert [(lane["lane"], lane["reason"], lane["message"]) for lane in status["waiting"]] == [
        ("openai/gpt-6-luna", "no_worker", "no worker is running")
    ]
    worker = queue.worker()
    queue.finish(
        worker, queue.claim_one(worker), "rate_limited", retry_after_seconds=30, error_message="slow"
    )
    (status,) = documents(run("status", "--json"))
    assert status["waiting"][0]["reason"] == "rate_limit"
    assert [lane["state"] for lane in status["blocked"]] == ["rate_limit"]
    assert status["workers"][0]["healthy"]
    assert run("status").exit_code == 0


def test_the_doctor_fails_on_work_without_a_worker_and_on_books_that_do_not_balance(
    run: Run, queue: Queue
) -> None:
    healthy = run("doctor", "--json")
    assert healthy.exit_code == 0, healthy.stdout
    run("enqueue", "x", "--model", "openai/gpt-6-luna")
    levels = {each["check"]: each["level"] for each in documents(run("doctor", "--json"))[0]["findings"]}
    assert (levels["workers"], levels["provider openai"], levels["ledger"]) == ("fail", "fail", "ok")
    queue.run("UPDATE llm_requests SET cost_usd = 1")
    sick = run("doctor")
    assert sick.exit_code == 1
    assert "request_cost" in sick.stdout
