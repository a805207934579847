"""The README's own examples, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.fleet import Fleet, Table, until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    """The first code block of a language."""
    match = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert match is not None
    return match.group(1)


def test_the_readmes_insert_comes_back_checked_and_costed(table: Table, fleet: Fleet) -> None:
    row = table.one(block("sql"))
    assert fleet.drain() == 0
    end = table.request(row)
    assert (end["status"], end["lane"], end["attempts"]) == ("completed", "openai/gpt-6-luna", 1)
    assert set(end["parsed_response"]) == {"category", "urgency"}
    assert end["cost_usd"] > 0


def test_the_readmes_python_gets_its_tool_call(table: Table, fleet: Fleet, tmp_path: Path) -> None:
    worker = fleet.start()
    program = block("python") + "\nprint(request.parsed_response['tool_calls'][0]['tool_name'])\n"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LLMREQ_DATABASE_URL": table.url, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert said.stdout.strip() == "tide_at"
    worker.terminate()
    until("the worker ends", lambda: worker.poll() is not None)


@pytest.mark.timeout(180)
def test_the_demo_shows_a_ledger_that_equals_the_providers_bill(database: str, tmp_path: Path) -> None:
    ours = ("LLMREQ_", "OPENAI_", "ANTHROPIC_", "VOYAGE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    ended = subprocess.run(
        [sys.executable, "-m", "llmreq", "demo"],
        env={
            **environment,
            "LLMREQ_DATABASE_URL": database,
            "LLMREQ_DATA_DIR": str(tmp_path),
            "PYTHONPATH": str(ROOT),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert ended.returncode == 0, ended.stderr
    match = re.search(
        r"Our ledger: (\d+) calls, (\$[\d.]+)\. The provider's own bill: (\$[\d.]+)\.", ended.stdout
    )
    assert match is not None, ended.stdout[-2000:]
    assert match.group(2) == match.group(3)
    assert int(match.group(1)) > 5
