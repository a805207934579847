from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from llmreq.cli.main import cli
from tests.engine.queue import Queue

Run = Callable[..., Result]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration, no keys: only what a test sets."""
    for name in (
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "VOYAGE_API_KEY",
        "LLMREQ_LOCAL_BASE_URL",
        "LLMREQ_CONFIG",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLMREQ_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch, bare: None) -> Run:
    """Calls `llmreq …` on a fresh migrated database."""
    monkeypatch.setenv("LLMREQ_DATABASE_URL", database)

    def call(*arguments: object, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, [str(each) for each in arguments], input=stdin, catch_exceptions=False)

    return call


@pytest.fixture
def queue(database: str) -> Iterator[Queue]:
    """A worker's hands on the same database, with the real clock."""
    queue = Queue.open(database)
    queue.run("SELECT set_config('llmreq.now', '', false)")
    yield queue
    queue.connection.close()


def documents(result: Result) -> list[Any]:
    """The JSON lines a command wrote."""
    return [json.loads(line) for line in result.stdout.splitlines()]
