from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmreq import Client
from tests.engine.queue import Queue


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
