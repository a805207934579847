"""Small tenants beside one with 100,000 rows, and other lanes beside a blocked one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.provider import Provider, stub
from bench.rig import Connection, connect, fleet, fresh_database, median, percentile

SMALL_TENANTS, ROWS_EACH = 100, 10
INSERT = "INSERT INTO llm_requests (provider, model, tenant_id, content) SELECT 'openai', %s, %s || n %% %s, 'x' FROM generate_series(1, %s) n"


def run(big: int, folder: Path) -> dict[str, Any]:
    """p95 of the small tenants' wait in an empty queue and behind the big tenant; throughput of a lane beside a blocked one."""
    with stub(50) as provider:
        alone, beside = _wait(provider, 0, folder), _wait(provider, big, folder)
        rounds = [
            (_rate(provider, folder, blocked=False), _rate(provider, folder, blocked=True)) for _ in range(3)
        ]
    free, blocked = (median(each[i] for each in rounds) for i in (0, 1))
    return {
        "big_tenant_rows": big,
        "alone_p95_ms": alone,
        "beside_p95_ms": beside,
        "wait_ratio": beside / alone,
        "free_calls_per_second": free,
        "beside_blocked_calls_per_second": blocked,
        "throughput_ratio": blocked / free,
    }


def _wait(provider: Provider, big: int, folder: Path) -> float:
    with fresh_database() as url, connect(url) as connection:
        if big:
            connection.execute(INSERT, ("gpt-6-luna", "big", 1, big))
        with fleet(url, provider.base_url, folder) as team:
            for _ in range(2):
                team.start("--concurrency", "16")
            time.sleep(4)
            connection.execute(INSERT, ("gpt-6-luna", "small", SMALL_TENANTS, SMALL_TENANTS * ROWS_EACH))
            left = "SELECT 1 FROM llm_requests WHERE tenant_id LIKE 'small%' AND status IN ('pending', 'processing') LIMIT 1"
            while connection.execute(left).fetchone():
                time.sleep(0.1)
            rows = connection.execute(
                "SELECT extract(epoch FROM claimed_at - created_at) * 1000 FROM llm_requests WHERE tenant_id LIKE 'small%'"
            ).fetchall()
    return percentile([float(row[0]) for row in rows], 0.95)


def _rate(provider: Provider, folder: Path, *, blocked: bool) -> float:
    with fresh_database() as url, connect(url) as connection:
        _fill_lanes(connection, blocked)
        with fleet(url, provider.base_url, folder) as team:
            team.start("--concurrency", "32")
            time.sleep(3)
            began, before = time.monotonic(), _done(connection)
            time.sleep(8)
            return (_done(connection) - before) / (time.monotonic() - began)


def _fill_lanes(connection: Connection, blocked: bool) -> None:
    connection.execute(INSERT, ("gpt-6-luna", "t", 5, 10_000))
    connection.execute(INSERT, ("gpt-6-sol", "t", 5, 90_000))
    connection.execute(
        "INSERT INTO llm_lanes (lane, provider, model, blocked_until, block_reason, paused) VALUES"
        " ('openai/gpt-6-sol', 'openai', 'gpt-6-sol', now() + interval '1 day', 'rate_limit', false)"
    )
    if not blocked:
        connection.execute("DELETE FROM llm_requests WHERE model = 'gpt-6-sol'")
    connection.execute("VACUUM ANALYZE llm_requests")


def _done(connection: Connection) -> int:
    row = connection.execute("SELECT count(*) FROM llm_attempts").fetchone()
    return int(row[0]) if row else 0
