"""A log line never holds what was worked on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from llmreq.errors import DatabaseUnavailableError
from llmreq.worker.describe import describe

MARKER = "PROMPT-5e1f"


def lines(body: str) -> list[dict[str, Any]]:
    """The log of a process that runs this code after `configure_logs()`, with the marker in a local variable."""
    code = f"from llmreq.cli.logs import configure_logs\nconfigure_logs()\nprompt = {MARKER!r}\n{body}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert MARKER not in done.stderr
    assert MARKER not in done.stdout
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_traceback_tells_places_and_no_values() -> None:
    (line,) = lines(
        "import structlog\n"
        "def fail(claim):\n    return {}[claim]\n"
        "try:\n    try:\n        fail(prompt)\n    except KeyError as error:\n        raise ValueError(prompt) from error\n"
        "except ValueError:\n    structlog.get_logger().error('call_failed', exc_info=True)"
    )
    assert line["event"] == "call_failed"
    first, cause = line["exception"]
    assert first["error"].startswith("ValueError at ")
    assert cause["error"].startswith("KeyError at ")
    assert cause["at"][-1].endswith("in fail")


@pytest.mark.parametrize("loop", ["asyncio.new_event_loop", "uvloop.new_event_loop"])
def test_what_asyncio_says_of_a_broken_task_or_callback_holds_no_arguments(loop: str) -> None:
    found = lines(
        "import asyncio, functools, gc, uvloop\n"
        "def broken(claim, task):\n    raise KeyError(claim)\n"
        "async def lost(claim):\n    raise ValueError(claim)\n"
        "async def fine(claim):\n    return {'response': claim}\n"
        "async def main():\n"
        "    task = asyncio.create_task(fine(prompt))\n"
        "    task.add_done_callback(functools.partial(broken, prompt))\n"
        "    other = asyncio.create_task(lost(prompt))\n"
        "    await asyncio.sleep(0.01)\n"
        "    del other, task\n    gc.collect()\n"
        f"with asyncio.Runner(loop_factory={loop}) as runner:\n    runner.run(main())"
    )
    errors = sorted(line["exception"][0]["error"].partition(" ")[0] for line in found)
    assert errors == ["KeyError", "ValueError"]
    assert {line["logger"] for line in found} == {"asyncio"}


def test_an_error_that_nobody_caught_is_one_line() -> None:
    (line,) = lines("raise RuntimeError(prompt)")
    assert (line["event"], line["level"]) == ("died", "critical")
    (line,) = lines(
        "import threading\ndef run():\n    raise RuntimeError(prompt)\nt = threading.Thread(target=run)\nt.start()\nt.join()"
    )
    assert line["event"] == "thread_died"


def test_a_librarys_record_keeps_its_template_and_loses_its_arguments() -> None:
    (line,) = lines("import logging\nlogging.getLogger('some.library').warning('took %s for %s', prompt, 1)")
    assert (line["logger"], line["template"]) == ("some.library", "took %s for %s")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT '@'::json",
        "SELECT '@'::bigint",
        "DO $$ BEGIN RAISE EXCEPTION '@'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION '@' USING ERRCODE = '57014'; END $$",
        "INSERT INTO llm_requests (content, complexity) VALUES ('@', 'enormous')",
    ],
)
def test_no_error_of_postgres_repeats_a_value(database: str, statement: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.replace("@", MARKER))
    assert MARKER in str(caught.value)
    assert MARKER not in describe(caught.value)
    assert "\n" not in describe(caught.value)


@pytest.mark.parametrize(
    "action",
    [lambda: int(MARKER), lambda: {}[MARKER], lambda: getattr(object(), MARKER), lambda: b"x".decode(MARKER)],
)
def test_no_error_of_python_repeats_a_value(action: Any) -> None:
    with pytest.raises((ValueError, LookupError, AttributeError)) as caught:
        action()
    assert MARKER in str(caught.value)
    assert MARKER not in describe(caught.value)
    assert "test_logs.py" in describe(caught.value)


def test_what_operators_must_know_is_said(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute("SELECT * FROM no_such_table")
    assert describe(caught.value) == 'UndefinedTable: relation "no_such_table" does not exist'
    assert (
        describe(DatabaseUnavailableError("cannot reach it")) == "DatabaseUnavailableError: cannot reach it"
    )
    assert (
        describe(ConnectionRefusedError(111, "Connection refused"))
        == "ConnectionRefusedError: Connection refused"
    )
