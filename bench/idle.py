"""What a worker costs that has nothing to do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.provider import stub
from bench.rig import connect, cpu_seconds, fleet, fresh_database, median, postgres_cpu_seconds


def run(seconds: int, folder: Path) -> dict[str, Any]:
    """Share of a core in the worker and in Postgres, and one idle poll's time and buffers."""
    with (
        stub(5) as provider,
        fresh_database() as url,
        connect(url) as connection,
        fleet(url, provider.base_url, folder) as team,
    ):
        worker = team.start()
        time.sleep(5)
        before, server = cpu_seconds(worker.pid), postgres_cpu_seconds(connection)
        time.sleep(seconds)
        after, server_after = cpu_seconds(worker.pid), postgres_cpu_seconds(connection)
        row = connection.execute("SELECT id FROM llm_workers").fetchone()
        assert row is not None
        polls = []
        for _ in range(50):
            plan = connection.execute(
                "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM llmreq_claim(%s::bigint, 50)",
                (row[0],),
            ).fetchone()
            assert plan is not None
            top = plan[0][0]
            polls.append((top["Execution Time"], top["Plan"]["Shared Hit Blocks"]))
    postgres = (
        (server_after - server) / seconds if server is not None and server_after is not None else float("nan")
    )
    return {
        "seconds": seconds,
        "worker_share_of_core": (after - before) / seconds,
        "postgres_share_of_core": postgres,
        "poll_ms": median(poll[0] for poll in polls),
        "poll_buffers": median(poll[1] for poll in polls),
    }
