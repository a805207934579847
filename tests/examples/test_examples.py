"""Every file of examples/, run as its reader would, against a real worker and the simulated provider."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.fleet import Fleet, Table

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def worker(fleet: Fleet) -> Fleet:
    fleet.start()
    return fleet


def run(worker: Fleet, *command: str | Path, **environment: str) -> str:
    """What the command writes; it must succeed."""
    given = {
        **os.environ,
        "LLMREQ_DATABASE_URL": worker.url,
        "PYTHONPATH": str(EXAMPLES.parent),
        **environment,
    }
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr + worker.logs()
    return done.stdout


def runtime(program: str) -> str:
    """Its path; the test is skipped where it is absent."""
    found = shutil.which(program)
    return found if found is not None else pytest.skip(f"{program} is not installed")


def test_ask_py_gets_typed_answers(worker: Fleet, table: Table) -> None:
    said = run(worker, sys.executable, EXAMPLES / "ask.py")
    assert said.startswith("fault 0\n")
    assert said.count("Ticket(category='fault', urgency=0)") == 3
    assert table.count("status = 'completed'") == 4


def test_outbox_py_sends_only_what_was_committed(worker: Fleet, table: Table) -> None:
    said = run(worker, sys.executable, EXAMPLES / "outbox.py")
    assert re.fullmatch(r"ticket 2: The .*\n", said)
    assert table.one("SELECT count(*) AS n FROM example_tickets")["n"] == 1
    assert table.count("true") == 1


def test_tools_py_calls_its_function_and_gets_an_answer(worker: Fleet, table: Table) -> None:
    said = run(worker, sys.executable, EXAMPLES / "tools.py")
    assert re.fullmatch(r"The .*\n2 turns, 0\.\d+ dollars\n", said)
    turns = table.all("SELECT messages, run_id FROM llm_requests ORDER BY created_at")
    assert turns[1]["messages"][-1]["content"] == '{"metres": 2.0}'
    assert turns[0]["run_id"] == turns[1]["run_id"] is not None


def test_ask_sql_shows_the_checked_answer(worker: Fleet) -> None:
    said = run(worker, runtime("psql"), worker.url, "-X", "-v", "ON_ERROR_STOP=1", "-f", EXAMPLES / "ask.sql")
    assert re.search(r'parsed_response \| {"urgency": 1, "category": "fault"}', said)
    assert re.search(r"status +\| completed", said)


def test_ask_sh_writes_the_answer(worker: Fleet, tmp_path: Path) -> None:
    command = tmp_path / "llmreq"  # what `pip install` would put on the PATH
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m llmreq "$@"\n')
    command.chmod(0o755)
    said = run(worker, runtime("sh"), EXAMPLES / "ask.sh", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert said.startswith("The ")


def test_ask_mjs_gets_the_answer_with_the_bare_driver(worker: Fleet, tmp_path: Path) -> None:
    node = runtime("node")
    (tmp_path / "node_modules").symlink_to(_node_modules())
    shutil.copy(EXAMPLES / "ask.mjs", tmp_path)
    said = run(worker, node, tmp_path / "ask.mjs")
    assert re.fullmatch(r"completed { urgency: 1, category: 'fault' } 0\.\d+ dollars\n", said)


def test_every_example_is_run_here() -> None:
    programs = {path.name for path in EXAMPLES.iterdir() if path.suffix != ".txt"}
    tested = set(re.findall(r'EXAMPLES / "([^"]+)"', Path(__file__).read_text()))
    assert programs - {"node_modules"} <= tested


def _node_modules() -> Path:
    """A folder with the package pg: beside the examples, on NODE_PATH, or installed globally."""
    places = [EXAMPLES / "node_modules", EXAMPLES.parent / "node_modules"]
    places += map(Path, filter(None, os.environ.get("NODE_PATH", "").split(":")))
    if npm := shutil.which("npm"):
        places.append(
            Path(subprocess.run([npm, "root", "-g"], capture_output=True, text=True).stdout.strip())
        )
    for place in places:
        if (place / "pg" / "package.json").exists():
            return place
    pytest.skip("the Node package pg is not installed (npm install pg; NODE_PATH names its folder)")
