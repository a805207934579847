"""What a claim reads, in buffers: the same whatever lies in the table (no time is measured here)."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Json

from tests.engine.queue import Queue, told

BULK = """
INSERT INTO llm_requests (provider, model, tenant_id, priority, scheduled_at, content)
SELECT 'openai', %s, %s || (n %% %s), 5, llmreq_now() + %s, 'x' FROM generate_series(1, %s) n
"""

CLAIM_BUFFERS = 2400
"""A claim of 50 reads about 1,000: 50 rows with their index entries, read, locked and written; twice that when a plan or the
catalogue must be read anew. A walk over what stands beside it would be 40,000."""


def _buffers(queue: Queue, worker: int, limit: int) -> tuple[int, int]:
    """Rows claimed and buffers touched by one claim, plans warm."""
    for _ in range(2):
        for claim in queue.claim(worker, 1):
            queue.finish(worker, claim)
    plan = queue.one(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM llmreq_claim(%s::bigint, %s::int)",
        worker,
        limit,
    )["QUERY PLAN"][0]["Plan"]
    return plan["Actual Rows"], plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


@pytest.mark.parametrize(
    ("model", "tenant", "tenants", "delay", "rows"),
    [
        pytest.param("gpt-6-luna", "t", 1, "0 s", 60_000, id="a long backlog of one tenant"),
        pytest.param("gpt-6-luna", "t", 5_000, "0 s", 60_000, id="five thousand tenants"),
        pytest.param("gpt-6-luna", "default", 1, "1 day", 60_000, id="a crowd of delayed rows"),
        pytest.param("gpt-6-sol", "t", 1, "0 s", 60_000, id="a blocked lane with nearly all rows"),
    ],
)
def test_a_claim_of_fifty_reads_no_more_for_what_stands_behind_or_beside_it(
    queue: Queue, model: str, tenant: str, tenants: int, delay: str, rows: int
) -> None:
    queue.run("ALTER TABLE llm_requests SET (autovacuum_enabled = off)")
    queue.run(BULK, "gpt-6-luna", "default", 1, "0 s", 200)
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, paused) VALUES ('openai/gpt-6-sol', 'openai', 'gpt-6-sol', true)"
    )
    worker = queue.worker(lease=7200)
    queue.run(BULK, model, tenant, tenants, delay, rows)
    claimed, buffers = _buffers(queue, worker, 50)
    assert claimed == 50
    assert buffers < CLAIM_BUFFERS


def test_an_idle_poll_touches_a_handful_of_buffers(queue: Queue) -> None:
    queue.run(BULK, "gpt-6-luna", "t", 10, "1 day", 2_000)
    queue.run(BULK, "gpt-6-luna", "t", 10, "0 s", 100)
    worker = queue.worker(lease=7200)
    while claims := queue.claim(worker, 50):
        for claim in claims:
            queue.finish(worker, claim)
    claimed, buffers = _buffers(queue, worker, 50)
    assert claimed == 0
    assert buffers < 400


def test_an_old_snapshot_does_not_make_claims_walk_what_is_gone(queue: Queue, database: str) -> None:
    queue.run("ALTER TABLE llm_requests SET (autovacuum_enabled = off)")
    queue.run(BULK, "gpt-6-luna", "t", 1, "0 s", 12_000)
    worker = queue.worker(lease=7200)
    queue.advance(seconds=5)
    with psycopg.connect(database) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM llm_requests")
        for _ in range(50):
            queue.advance(milliseconds=30)
            assert len(queue.claim(worker, 200)) == 200
        queue.advance(milliseconds=30)
        claimed, buffers = _buffers(queue, worker, 50)
    assert claimed == 50
    assert buffers < CLAIM_BUFFERS


def test_plans_made_for_an_empty_table_serve_a_full_one(queue: Queue) -> None:
    queue.run("ALTER TABLE llm_requests SET (autovacuum_enabled = off)")
    queue.run("VACUUM ANALYZE llm_requests")  # known to be empty
    worker = queue.worker(lease=7200)
    queue.insert()
    queue.finish(worker, queue.claim_one(worker))  # now the session has its plans
    queue.run(BULK, "gpt-6-luna", "t", 1, "0 s", 30_000)
    claimed, buffers = _buffers(queue, worker, 50)
    assert claimed == 50
    assert buffers < CLAIM_BUFFERS
    outcomes = Json([told(claim) for claim in queue.claim(worker, 50)])
    plan = queue.one(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM llmreq_finish(%s::bigint, %s::json)",
        worker,
        outcomes,
    )["QUERY PLAN"][0]["Plan"]
    assert plan["Actual Rows"] == 50
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 2 * CLAIM_BUFFERS
