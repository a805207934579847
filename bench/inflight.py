"""Ten thousand calls in flight in one process, and the memory they take."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from bench.provider import stub
from bench.rig import connect, fleet, fresh_database, memory_mb, raise_open_files

FILES_PER_CALL = 1


def run(calls: int, folder: Path) -> dict[str, Any]:
    """Resident memory with 0, a tenth, half and all of the calls in flight, and after two rounds of them."""
    if raise_open_files(calls + 1000) < calls + 500:
        raise click.ClickException(
            f"this system lets a process open fewer than {calls + 500} files: raise the hard limit (ulimit -Hn)"
        )
    found: dict[str, Any] = {"calls": calls}
    with (
        stub(30_000) as provider,
        fresh_database() as url,
        connect(url) as connection,
        fleet(url, provider.base_url, folder, LLMREQ_BATCH_SIZE="200", LLMREQ_DRAIN_SECONDS="1") as team,
    ):
        worker = team.start("--concurrency", str(calls))
        while not connection.execute("SELECT 1 FROM llm_workers").fetchone():
            time.sleep(0.05)
        time.sleep(1)
        found["memory_mb_0"] = memory_mb(worker.pid)
        for part in (calls // 10, calls // 2, calls):
            began = time.monotonic()
            _top_up(connection, part)
            while _in_flight(connection) < part and time.monotonic() - began < 25:
                time.sleep(0.1)
            found[f"memory_mb_{part}"] = memory_mb(worker.pid)
            found["in_flight"] = max(found.get("in_flight", 0), _in_flight(connection))
        while connection.execute("SELECT 1 FROM llm_requests WHERE status <> 'completed' LIMIT 1").fetchone():
            time.sleep(0.2)
        found["memory_mb_after"] = memory_mb(worker.pid)
    found["kb_per_call"] = (found[f"memory_mb_{calls}"] - found["memory_mb_0"]) * 1024 / calls
    return found


def _top_up(connection: Any, wanted: int) -> None:
    row = connection.execute(
        "SELECT count(*) FROM llm_requests WHERE status IN ('pending', 'processing')"
    ).fetchone()
    connection.execute(
        "INSERT INTO llm_requests (provider, model, content, timeout_seconds)"
        " SELECT 'openai', 'gpt-6-luna', repeat('x', 900), 120 FROM generate_series(1, %s)",
        (wanted - row[0],),
    )


def _in_flight(connection: Any) -> int:
    row = connection.execute("SELECT count(*) FROM llm_requests WHERE status = 'processing'").fetchone()
    return int(row[0])
