"""A poll and a claim beside a hundred thousand lanes and budgets: most closed, delayed, idle or used up."""

from __future__ import annotations

from typing import Any

from bench.rig import Connection, connect, fresh_database, median

POLLS = 41

CLOSED = """
INSERT INTO llm_lanes (lane, provider, model, paused)
SELECT 'openai/closed-' || n, 'openai', 'closed-' || n, true FROM generate_series(1, %(lanes)s * 4 / 10) n
"""
PENDING = """
INSERT INTO llm_requests (provider, model, content, scheduled_at)
SELECT 'openai', %(name)s || n, 'x', llmreq_now() + %(delay)s::interval FROM generate_series(1, %(lanes)s * 4 / 10) n
"""
IDLE = """
INSERT INTO llm_due (lane, provider, due_at)
SELECT 'openai/idle-' || n, 'openai', '9999-01-01' FROM generate_series(1, %(lanes)s * 2 / 10) n
"""
BUDGETS = """
INSERT INTO llm_budgets (scope, subject, period, limit_usd)
SELECT 'tenant', 'poor-' || n, 'total', 2 FROM generate_series(1, %(budgets)s) n
"""
POOR = """
INSERT INTO llm_requests (provider, model, tenant_id, content)
SELECT 'openai', 'gpt-6-luna', 'poor-' || n, 'x' FROM generate_series(1, %(budgets)s) n
"""
WAITS = """
UPDATE llm_requests r SET budget_id = b.id, wait_reason = 'budget', hold_usd = 1, hold_tokens = 1
FROM llm_budgets b WHERE b.subject = r.tenant_id AND r.tenant_id LIKE 'poor-%'
"""
ENDED = """
INSERT INTO llm_requests (lane, provider, model, tenant_id, status, completed_at, content, response, input_bytes, output_cap)
SELECT 'openai/gpt-6-luna', 'openai', 'gpt-6-luna', 't' || n %% 1000, 'completed', now() - n * interval '1 s', 'x', 'y', 1, 100
FROM generate_series(1, %(ended)s) n
"""
TENANTS = """
INSERT INTO llm_requests (provider, model, tenant_id, content)
SELECT 'openai', 'gpt-6-luna', 'tenant-' || n, 'x' FROM generate_series(1, %(tenants)s) n
"""


def run(lanes: int, budgets: int, tenants: int, ended: int) -> dict[str, Any]:
    """Milliseconds and buffers of an idle poll and of a claim of 50, beside the same in an empty queue."""
    found: dict[str, Any] = {"lanes": lanes, "budgets": budgets, "tenants": tenants, "ended": ended}
    with fresh_database() as url, connect(url) as connection:
        worker = _worker(connection)
        connection.execute(TENANTS, {"tenants": 5000})
        _note(found, "small_claim", _polls(connection, worker, 50))
        _drain(connection)
        _note(found, "small_idle", _polls(connection, worker, 0))
    with fresh_database() as url, connect(url) as connection:
        worker = _worker(connection)
        _fill(connection, found)
        _settle_down(connection, worker)
        _note(found, "idle", _polls(connection, worker, 0))
        connection.execute(
            "INSERT INTO llm_requests (provider, model, content) VALUES ('openai', 'idle-7', 'x')"
        )
        row = connection.execute("SELECT lane FROM llmreq_claim(%s, 50)", (worker,)).fetchone()
        assert row == ("openai/idle-7",), "a lane that slept is met by the next poll"
        connection.execute(TENANTS, {"tenants": tenants})
        connection.execute("VACUUM ANALYZE llm_requests")
        _note(found, "claim", _polls(connection, worker, 50))
    return found


def _fill(connection: Connection, sizes: dict[str, Any]) -> None:
    connection.execute(CLOSED, sizes)
    connection.execute(PENDING, {**sizes, "name": "closed-", "delay": "0 s"})
    connection.execute(PENDING, {**sizes, "name": "delayed-", "delay": "1 day"})
    connection.execute(IDLE, sizes)
    connection.execute("SET session_replication_role = replica")
    connection.execute(ENDED, sizes)
    connection.execute("RESET session_replication_role")
    connection.execute(BUDGETS, sizes)
    connection.execute(
        "UPDATE llm_budgets SET counted = true, waiting = true, spent_usd = 1.5, needs_usd = 1, needs_tokens = 1"
    )
    connection.execute("SET llmreq.restore = on")
    connection.execute(POOR, sizes)
    connection.execute(WAITS.replace("%'", "%%'"), {})
    connection.execute("RESET llmreq.restore")
    connection.execute("VACUUM ANALYZE")


def _settle_down(connection: Connection, worker: int) -> None:
    """Polls until the signals of the fill are read and every lane and budget knows when it is due."""
    for _ in range(20_000):
        connection.execute("SELECT count(*) FROM llmreq_claim(%s, 50)", (worker,))
        connection.execute("UPDATE llm_due SET due_at = '9999-01-01' WHERE lane = 'openai/gpt-6-luna'")
        busy = connection.execute(
            "SELECT (SELECT count(*) FROM llm_signals) + (SELECT count(*) FROM llm_due WHERE due_at <= now() + interval '5 min')"
            " + (SELECT count(*) FROM llm_budgets WHERE waiting AND wake_at <= now())"
        ).fetchone()
        assert busy is not None
        if busy[0] == 0:
            connection.execute("VACUUM ANALYZE")
            return
    raise AssertionError("the lanes never came to rest")


def _polls(connection: Connection, worker: int, rows: int) -> tuple[float, float]:
    times, buffers = [], []
    for _ in range(POLLS):
        row = connection.execute(
            "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT * FROM llmreq_claim(%s::bigint, 50)",
            (worker,),
        ).fetchone()
        assert row is not None
        top = row[0][0]
        assert top["Plan"]["Actual Rows"] == rows, top["Plan"]["Actual Rows"]
        times.append(top["Execution Time"])
        buffers.append(top["Plan"]["Shared Hit Blocks"] + top["Plan"]["Shared Read Blocks"])
    return median(times), median(buffers)


def _drain(connection: Connection) -> None:
    connection.execute("TRUNCATE llm_requests")
    connection.execute("UPDATE llm_due SET due_at = '9999-01-01'")


def _worker(connection: Connection) -> int:
    row = connection.execute(
        "SELECT llmreq_register('bench', '0', ARRAY['openai', 'anthropic', 'local/rules'], '{}', 100, interval '1 day')"
    ).fetchone()
    assert row is not None
    return int(row[0])


def _note(found: dict[str, Any], name: str, measured: tuple[float, float]) -> None:
    found[f"{name}_ms"], found[f"{name}_buffers"] = measured
