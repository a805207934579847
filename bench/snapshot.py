"""Whether draining slows down while somebody holds an old snapshot: 100,000 rows, with and without."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

from bench.rig import connect, fresh_database, median
from bench.settle import fill, through

SLICE = 10_000


def run(rows: int, rounds: int) -> dict[str, Any]:
    """Medians of alternating rounds: rows a second in the first and the last 10,000."""
    free, held = [], []
    for _ in range(rounds):
        free.append(_drain(rows, held=False))
        held.append(_drain(rows, held=True))
    first, last = (median(r[i] for r in held) for i in (0, 1))
    control = median(r[1] for r in free)
    return {
        "rows": rows,
        "control_last": control,
        "held_first": first,
        "held_last": last,
        "held_last_to_control_last": last / control,
    }


def _drain(rows: int, *, held: bool) -> tuple[float, float]:
    with fresh_database() as url, connect(url) as connection, connect(url) as other:
        worker = fill(connection, rows)
        connection.execute("VACUUM ANALYZE")
        rates = []
        with other.transaction() if held else nullcontext():
            if held:
                other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                other.execute("SELECT count(*) FROM llm_requests")
            for _ in range(rows // SLICE):
                began, done = time.perf_counter(), 0
                while done < SLICE:
                    done += through(connection, worker, 200)
                rates.append(done / (time.perf_counter() - began))
        return rates[0], rates[-1]
