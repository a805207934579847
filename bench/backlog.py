"""What a claim of 50 reads and takes, whatever stands in the table."""

from __future__ import annotations

from typing import Any

from bench.rig import Connection, connect, fresh_database, median

BATCH = 50
FILL = """
INSERT INTO llm_requests (lane, provider, model, tenant_id, scheduled_at, content, estimated_tokens, output_cap, input_bytes)
SELECT 'openai/' || %(model)s, 'openai', %(model)s, %(tenant)s || n %% %(tenants)s, now() + %(delay)s::interval, repeat('x', 200), 150, 100, 200
FROM generate_series(1, %(rows)s) n
"""


def run(rows: int) -> dict[str, Any]:
    """Buffers and milliseconds per claimed row, and the ratio to a small queue's."""
    cases = {
        "small": [{"rows": 10_000}],
        "backlog": [{"rows": rows}],
        "delayed": [{"rows": 10_000}, {"rows": rows, "delay": "1 day"}],
        "tenants": [{"rows": rows, "tenants": 10_000}],
        "blocked": [{"rows": rows // 10}, {"rows": rows * 9 // 10, "model": "gpt-6-sol"}],
    }
    found: dict[str, Any] = {"rows": rows}
    for name, fills in cases.items():
        with fresh_database() as url, connect(url) as connection:
            _fill(connection, fills)
            _note(found, name, _measure(connection))
    with fresh_database() as url, connect(url) as connection, connect(url) as other:
        _fill(connection, [{"rows": 10_000}])
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM llm_requests")
        _churn(connection, rows // 2)
        _note(found, "pinned", _measure(connection))
    return found


def _fill(connection: Connection, fills: list[dict[str, Any]]) -> None:
    connection.execute("SET session_replication_role = replica")  # the trigger's work is not measured here
    for fill in fills:
        connection.execute(FILL, {"model": "gpt-6-luna", "tenant": "t", "tenants": 1, "delay": "0 s", **fill})
    connection.execute("RESET session_replication_role")
    connection.execute(
        "INSERT INTO llm_lanes (lane, provider, model, blocked_until, block_reason)"
        " VALUES ('openai/gpt-6-sol', 'openai', 'gpt-6-sol', now() + interval '1 day', 'rate_limit')"
    )
    connection.execute("VACUUM ANALYZE llm_requests")


def _churn(connection: Connection, rows: int) -> None:
    """So many rows pass through the pending index while an old snapshot keeps their entries."""
    worker = _worker(connection)
    _fill_more(connection, rows)
    claimed = 0
    while claimed < rows:
        got = connection.execute("SELECT count(*) FROM llmreq_claim(%s, 1000)", (worker,)).fetchone()
        claimed += got[0] if got else 0
        connection.execute("UPDATE llm_workers SET lease_until = now() + interval '1 day'")


def _fill_more(connection: Connection, rows: int) -> None:
    connection.execute("SET session_replication_role = replica")
    connection.execute(
        FILL, {"model": "gpt-6-luna", "tenant": "t", "tenants": 1, "delay": "-1 hour", "rows": rows}
    )
    connection.execute("RESET session_replication_role")


def _measure(connection: Connection) -> tuple[float, float]:
    worker = _worker(connection)
    for _ in range(3):
        connection.execute("SELECT count(*) FROM llmreq_claim(%s, %s)", (worker, BATCH))
    buffers, times = [], []
    for _ in range(21):
        row = connection.execute(
            "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT * FROM llmreq_claim(%s::bigint, %s::int)",
            (worker, BATCH),
        ).fetchone()
        assert row is not None
        plan = row[0][0]
        assert plan["Plan"]["Actual Rows"] == BATCH, plan["Plan"]["Actual Rows"]
        buffers.append(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])
        times.append(plan["Execution Time"])
    return median(buffers) / BATCH, median(times)


def _worker(connection: Connection) -> int:
    row = connection.execute(
        "SELECT llmreq_register('bench', '0', ARRAY['openai'], '{}', 100, interval '1 day')"
    ).fetchone()
    assert row is not None
    return int(row[0])


def _note(found: dict[str, Any], name: str, measured: tuple[float, float]) -> None:
    found[f"{name}_buffers_per_row"], found[f"{name}_ms"] = measured
    if name != "small":
        found[f"{name}_ratio"] = measured[0] / found["small_buffers_per_row"]
