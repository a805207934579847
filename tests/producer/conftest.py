from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llmreq import Client
from tests.engine.queue import Queue, Row


@pytest.fixture
def client(database: str) -> Iterator[Client]:
    with Client(database) as client:
        yield client


@pytest.fixture
def queue(database: str) -> Iterator[Queue]:
    """A worker's hands on the same database, with the real clock."""
    queue = Queue.open(database)
    queue.run("SELECT set_config('llmreq.now', '', false)")
    yield queue
    queue.connection.close()


class ScriptedModel:
    """A worker in a thread whose model says, turn by turn, what it was told to say. `asked`: the rows it got."""

    def __init__(self, url: str, *answers: dict[str, Any]) -> None:
        self.asked: list[Row] = []
        self._queue = Queue.open(url)
        self._queue.run("SELECT set_config('llmreq.now', '', false)")
        self._answers = list(answers)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> ScriptedModel:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._queue.connection.close()

    def _work(self) -> None:
        worker = self._queue.worker()
        while self._answers and not self._stop.wait(0.01):
            for claim in self._queue.claim(worker, 1):
                self.asked.append(self._queue.request(claim))
                self._queue.finish(worker, claim, **self._answers.pop(0))


@pytest.fixture
def model(database: str) -> Callable[..., ScriptedModel]:
    """`with model(answer, answer) as worker:` – each answer are the facts a worker reports."""
    return lambda *answers: ScriptedModel(database, *answers)
