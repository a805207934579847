"""What a call costs our worker beside a bare aiohttp loop that makes the same calls: 512 in flight, 200 ms, 1 KB."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from psycopg.types.json import Json

from bench.bare import SCHEMA
from bench.provider import Provider, stub
from bench.rig import Connection, connect, cpu_seconds, fleet, fresh_database, median, postgres_cpu_seconds

IN_FLIGHT, DELAY_MS = 512, 200.0


def run(calls: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Medians of alternating rounds."""
    ours, bare = [], []
    with stub(DELAY_MS) as provider, fresh_database() as url, connect(url) as connection:
        for _ in range(rounds):
            bare.append(_bare(provider, calls))
            ours.append(_ours(provider, calls, url, connection, folder))
    cpu, bare_cpu = median(r["cpu"] for r in ours), median(r["cpu"] for r in bare)
    return {
        "calls": calls,
        "rounds": rounds,
        "calls_per_second": median(r["rate"] for r in ours),
        "bare_calls_per_second": median(r["rate"] for r in bare),
        "most_possible": IN_FLIGHT * 1000 / DELAY_MS,
        "cpu_seconds_per_1000": cpu,
        "bare_cpu_seconds_per_1000": bare_cpu,
        "cpu_ratio": cpu / bare_cpu,
        "postgres_cpu_seconds_per_1000": median(r["postgres"] for r in ours),
    }


def _bare(provider: Provider, calls: int) -> dict[str, float]:
    url = f"{provider.base_url}/chat/completions"
    said = subprocess.run(
        [sys.executable, "-m", "bench.bare", url, str(calls), str(IN_FLIGHT)],
        stdout=subprocess.PIPE,
        check=True,
    )
    result = json.loads(said.stdout)
    return {"rate": calls / result["seconds"], "cpu": result["cpu_seconds"] / calls * 1000}


def _ours(provider: Provider, calls: int, url: str, connection: Connection, folder: Path) -> dict[str, float]:
    """The worker is up and idle when the rows appear; measured from the first call to the last row settled."""
    connection.execute("TRUNCATE llm_requests, llm_attempts")
    connection.execute("VACUUM ANALYZE llm_requests")
    with fleet(url, provider.base_url, folder) as team:
        worker = team.start("--concurrency", str(IN_FLIGHT))
        while not connection.execute("SELECT 1 FROM llm_workers").fetchone():
            time.sleep(0.05)
        time.sleep(1.0)
        provider.times()
        cpu, postgres = cpu_seconds(worker.pid), postgres_cpu_seconds(connection)
        with connection.transaction():
            connection.execute(
                "INSERT INTO llm_requests (provider, model, messages, response_schema)"
                " SELECT 'openai', 'gpt-6-luna', %s, %s FROM generate_series(1, %s)",
                (Json([{"role": "user", "content": "x" * 900}]), Json(SCHEMA), calls),
            )
            inserted = postgres_cpu_seconds(connection)
        while connection.execute(
            "SELECT 1 FROM llm_requests WHERE status IN ('pending', 'processing') LIMIT 1"
        ).fetchone():
            time.sleep(0.05)
        ended = time.monotonic()
        cpu, after = cpu_seconds(worker.pid) - cpu, postgres_cpu_seconds(connection)
        began = min(provider.times())
    done = connection.execute("SELECT count(*) FROM llm_requests WHERE status = 'completed'").fetchone()
    assert done == (calls,), f"{done} of {calls} completed"
    del postgres
    spent = (after - inserted) / calls * 1000 if after is not None and inserted is not None else float("nan")
    return {"rate": calls / (ended - began), "cpu": cpu / calls * 1000, "postgres": spent}
