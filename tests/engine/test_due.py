"""Which lanes a claim visits: what is due is met by the next poll, and what sleeps costs nothing."""

from __future__ import annotations

import psycopg
import pytest

from tests.engine.queue import Queue

LANE = "openai/gpt-6-luna"


def due(queue: Queue, lane: str = LANE) -> bool:
    return bool(queue.one("SELECT due_at <= llmreq_now() AS due FROM llm_due WHERE lane = %s", lane)["due"])


def sleep(queue: Queue, worker: int) -> None:
    """Polls until no lane is visited any more."""
    for _ in range(20):
        queue.advance(seconds=60)
        assert queue.claim(worker) == []
    assert queue.all("SELECT * FROM llm_due WHERE due_at < llmreq_now() + interval '1 hour'") == []


def work_off(queue: Queue, worker: int) -> None:
    for claim in queue.claim(worker, 50):
        queue.finish(worker, claim)


@pytest.fixture
def worker(queue: Queue) -> int:
    return queue.worker(lease=10**6)


def test_a_lane_that_slept_is_met_by_the_first_poll_after_an_insert(queue: Queue, worker: int) -> None:
    queue.insert()
    work_off(queue, worker)
    sleep(queue, worker)
    row = queue.insert()
    assert [claim["id"] for claim in queue.claim(worker)] == [row["id"]]


def test_a_lane_of_delayed_rows_is_visited_when_the_first_is_due(queue: Queue, worker: int) -> None:
    late = queue.insert(scheduled_at=queue.now.replace(hour=18))
    early = queue.insert(scheduled_at=queue.now.replace(hour=15))
    assert queue.claim(worker) == []
    assert not due(queue)
    queue.advance(hours=3)
    assert [claim["id"] for claim in queue.claim(worker)] == [early["id"]]
    queue.advance(minutes=30)
    assert queue.claim(worker) == []
    assert not due(queue)
    queue.advance(hours=3)
    assert [claim["id"] for claim in queue.claim(worker)] == [late["id"]]


def test_a_bulk_insert_into_a_sleeping_lane_signals_once(queue: Queue, worker: int) -> None:
    queue.run(
        "INSERT INTO llm_requests (provider, model, content) SELECT 'openai', 'gpt-6-luna', 'x' FROM generate_series(1, 500)"
    )
    assert queue.one("SELECT count(*) AS n FROM llm_signals")["n"] == 1
    assert len(queue.claim(worker, 100)) == 100
    queue.run("INSERT INTO llm_requests (provider, model, content) VALUES ('openai', 'gpt-6-luna', 'x')")
    assert queue.one("SELECT count(*) AS n FROM llm_signals")["n"] == 0  # a busy lane is visited anyway


@pytest.mark.parametrize("closed", [LANE, "openai/*", "*/*"])
def test_a_closed_lane_costs_no_visit_and_is_met_when_it_opens(
    queue: Queue, worker: int, closed: str
) -> None:
    provider, _, model = closed.partition("/")
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, paused) VALUES (%s, %s, %s, true)",
        closed,
        provider,
        model,
    )
    row = queue.insert()
    for _ in range(10):
        queue.advance(minutes=1)
        assert queue.claim(worker) == []
    queue.run("UPDATE llm_lanes SET paused = false WHERE lane = %s", closed)
    assert [claim["id"] for claim in queue.claim(worker)] == [row["id"]]


def test_a_paused_tenants_rows_are_met_when_it_is_resumed(queue: Queue, worker: int) -> None:
    queue.run("INSERT INTO llm_tenants (tenant_id, paused) VALUES ('acme', true)")
    row = queue.insert(tenant_id="acme")
    sleep(queue, worker)
    queue.run("UPDATE llm_tenants SET paused = false")
    assert [claim["id"] for claim in queue.claim(worker)] == [row["id"]]


def test_a_blocked_lane_is_visited_when_its_block_ends_or_is_lifted(queue: Queue, worker: int) -> None:
    rows = [queue.insert() for _ in range(3)]
    (claim,) = queue.claim(worker, 1)
    queue.finish(worker, claim, "rate_limited", retry_after_seconds=600, http_status=429)
    assert queue.claim(worker) == []
    assert not due(queue)
    queue.run("UPDATE llm_lanes SET blocked_until = NULL")
    queue.finish(worker, queue.claim(worker, 1)[0], "rate_limited", retry_after_seconds=600, http_status=429)
    assert queue.claim(worker) == []
    queue.advance(seconds=700)
    assert len(queue.claim(worker)) == len(rows) - 2 or due(queue)


def test_a_lane_at_its_limit_is_visited_when_a_request_fits_again(queue: Queue, worker: int) -> None:
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, requests_per_minute, burst_seconds, safety_margin)"
        " VALUES (%s, 'openai', 'gpt-6-luna', 6, 1, 1)", LANE,
    )  # fmt: skip
    for _ in range(3):
        queue.insert()
    queue.claim(worker)
    queue.advance(seconds=10)
    assert len(queue.claim(worker)) == 1
    assert queue.claim(worker) == []
    assert not due(queue)
    queue.advance(seconds=10.1)
    assert len(queue.claim(worker)) == 1


def test_rows_that_came_in_with_triggers_off_are_found_by_the_sweep(queue: Queue, worker: int) -> None:
    queue.run("SET session_replication_role = replica")
    queue.run(
        "INSERT INTO llm_requests (lane, provider, model, content, scheduled_at, input_bytes, output_cap)"
        " SELECT 'openai/m' || n, 'openai', 'm' || n, 'x', llmreq_now() + (n %% 2) * interval '1 day', 1, 9"
        " FROM generate_series(1, 6) n"
    )
    queue.run("RESET session_replication_role")
    assert queue.claim(worker) == []
    woken = 0
    for _ in range(3):
        queue.advance(seconds=1)
        woken += queue.one("SELECT llmreq_sweep_lanes(2) AS n")["n"]
    assert woken == 3
    assert len(queue.claim(worker)) == 3


def test_a_row_whose_transaction_was_open_for_long_is_met_soon_after(
    queue: Queue, worker: int, database: str
) -> None:
    queue.insert()
    work_off(queue, worker)
    other = Queue.open(database)
    other.run("BEGIN")
    row = other.insert()
    for _ in range(20):
        queue.advance(seconds=1)
        assert queue.claim(worker) == []
    other.run("COMMIT")
    found = []
    for _ in range(12):
        queue.advance(seconds=1)
        found += queue.claim(worker)
    assert [claim["id"] for claim in found] == [row["id"]]


def test_a_lane_row_that_somebody_is_making_holds_up_no_other_lane(
    queue: Queue, worker: int, database: str
) -> None:
    with psycopg.connect(database) as operator:
        operator.execute(
            "INSERT INTO llm_lanes (lane, provider, model, max_in_flight) VALUES (%s, 'openai', 'gpt-6-luna', 1)",
            (LANE,),
        )
        rows = [queue.insert(), queue.insert()]
        free = queue.insert(provider="anthropic", model="claude-haiku-4-5")
        assert [claim["id"] for claim in queue.claim(worker)] == [free["id"]]
        operator.commit()
    assert len(queue.claim(worker)) == 1
    assert {queue.request(row)["status"] for row in rows} == {"pending", "processing"}


def test_an_idle_poll_reads_the_same_beside_thousands_of_closed_and_delayed_lanes(
    queue: Queue, worker: int
) -> None:
    def buffers() -> int:
        for _ in range(3):
            queue.claim(worker)
        plan = queue.one(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM llmreq_claim(%s::bigint, 50)", worker
        )
        top = plan["QUERY PLAN"][0]["Plan"]
        return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])

    queue.insert()
    work_off(queue, worker)
    sleep(queue, worker)
    alone = buffers()
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, paused)"
        " SELECT 'openai/c' || n, 'openai', 'c' || n, true FROM generate_series(1, 1500) n"
    )
    queue.run(
        "INSERT INTO llm_requests (provider, model, content) SELECT 'openai', 'c' || n, 'x' FROM generate_series(1, 1500) n"
    )
    queue.run(
        "INSERT INTO llm_requests (provider, model, content, scheduled_at)"
        " SELECT 'openai', 'd' || n, 'x', llmreq_now() + interval '1 day' FROM generate_series(1, 1500) n"
    )
    for _ in range(80):
        queue.advance(seconds=6)
        queue.claim(worker)
    assert queue.all("SELECT * FROM llm_signals") == []
    assert buffers() < alone + 60
