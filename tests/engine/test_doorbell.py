"""A bell that rings only while somebody is idle, and only where it was hung."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.engine.queue import Queue


@pytest.fixture
def ear(database: str) -> Iterator[psycopg.Connection[object]]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("LISTEN llmreq_doorbell")
        yield connection


def rings(ear: psycopg.Connection[object]) -> int:
    return len(list(ear.notifies(timeout=0.1)))


def test_it_is_silent_until_it_is_switched_on_and_while_nobody_is_idle(
    queue: Queue, ear: psycopg.Connection[object]
) -> None:
    worker = queue.worker()
    queue.run("SELECT llmreq_set_idle(%s, true)", worker)
    queue.insert()
    assert rings(ear) == 0
    queue.run("SELECT llmreq_set_doorbell(true)")
    queue.insert()
    assert rings(ear) == 1
    queue.run("SELECT llmreq_set_idle(%s, false)", worker)
    queue.insert()
    assert rings(ear) == 0


def test_one_statement_rings_once_and_a_dead_worker_is_not_rung_for(
    queue: Queue, ear: psycopg.Connection[object]
) -> None:
    queue.run("SELECT llmreq_set_doorbell(true)")
    queue.run("SELECT llmreq_set_idle(%s, true)", queue.worker(lease=15))
    queue.run(
        "INSERT INTO llm_requests (provider, model, content) SELECT 'openai', 'x', 'hi' FROM generate_series(1, 100)"
    )
    assert rings(ear) == 1
    queue.advance(seconds=16)
    queue.insert()
    assert rings(ear) == 0


def test_it_stays_as_it_was_through_a_new_version_of_the_functions(queue: Queue, database: str) -> None:
    from llmreq.database.migrate import migrate

    queue.run("SELECT llmreq_set_doorbell(true)")
    queue.run("UPDATE llmreq_meta SET value = 'older' WHERE key = 'sql'")
    migrate(database)
    assert queue.one("SELECT tgenabled FROM pg_trigger WHERE tgname = 'llmreq_ring_doorbell'") == {
        "tgenabled": "O"
    }
