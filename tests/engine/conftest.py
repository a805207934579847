from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.queue import Queue


@pytest.fixture
def queue(database: str) -> Iterator[Queue]:
    queue = Queue.open(database)
    yield queue
    broken = queue.all("SELECT * FROM llmreq_ledger_check")
    queue.connection.close()
    assert broken == [], "the books do not balance after this test"
