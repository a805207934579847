"""From the INSERT's commit to the provider's receiving the request, in an idle fleet."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from bench.provider import stub
from bench.rig import connect, fleet, fresh_database, percentile


def run(samples: int, folder: Path, *, doorbell: bool) -> dict[str, Any]:
    """One request at a time, at random moments."""
    with stub(5) as provider, fresh_database() as url, connect(url) as connection:
        connection.execute("SELECT llmreq_set_doorbell(%s)", (doorbell,))
        with fleet(url, provider.base_url, folder) as team:
            team.start()
            while not connection.execute("SELECT 1 FROM llm_workers").fetchone():
                time.sleep(0.05)
            _ask(connection)
            time.sleep(1.5)
            provider.times()
            waits = []
            for _ in range(samples):
                time.sleep(random.uniform(0.15, 0.35))
                committed = _ask(connection)
                while not (came := provider.times()):
                    time.sleep(0.005)
                waits.append((came[0] - committed) * 1000)
    return {
        "doorbell": doorbell,
        "samples": samples,
        "p50_ms": percentile(waits, 0.5),
        "p95_ms": percentile(waits, 0.95),
        "max_ms": max(waits),
    }


def _ask(connection: Any) -> float:
    connection.execute(
        "INSERT INTO llm_requests (provider, model, content) VALUES ('openai', 'gpt-6-luna', 'hi')"
    )
    return time.monotonic()
