"""Long documents from one INSERT to one merged answer: pages in flight, the cost of all, a worker killed half-way."""

from __future__ import annotations

import signal
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.rig import Connection, connect, fleet, fresh_database
from llmreq.simulator.process import Simulator

ENGLISH = "In %d the harbour master of Port %d wrote to the Admiralty about crane %d and what its owner had promised. "
MIXED = "第%d号起重机又停在了第%d码头，船长写信给港务局，请求在冬天之前修好它。 The mate of ship %d read it aloud, twice. "


def run(folder: Path) -> dict[str, Any]:
    """2 MB of English and 1 MB of Chinese and English through entity-extractor; in a third run its worker is killed half-way."""
    figures: dict[str, Any] = {}
    for name, text, kill in (
        ("english", _text(2_000_000, ENGLISH), False),
        ("mixed", _text(1_000_000, MIXED), False),
        ("killed", _text(2_000_000, ENGLISH), True),
    ):
        for key, value in _one(text, kill, folder).items():
            figures[f"{name}_{key}"] = value
    return figures


def _one(text: str, kill: bool, folder: Path) -> dict[str, Any]:
    with (
        fresh_database() as url,
        Simulator(latency_ms="lognormal:1000:0.4") as simulator,
        connect(url) as connection,
        fleet(
            url, simulator.openai_base_url, folder, LLMREQ_LEASE_SECONDS="3", LLMREQ_HEARTBEAT_SECONDS="1"
        ) as team,
    ):
        worker = team.start()
        began = time.monotonic()
        row = connection.execute(
            "INSERT INTO llm_requests (agent_name, content) VALUES ('entity-extractor', %s) RETURNING id",
            (text,),
        ).fetchone()
        assert row is not None
        done_before = set()
        if kill:
            while _count(connection, row[0], "completed") < _count(
                connection, row[0], None
            ) / 2 or not _count(connection, row[0], None):
                time.sleep(0.02)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            done_before = _ids(connection, row[0])
            team.start()
        while True:
            ended = connection.execute(
                "SELECT status, cost_usd, merge_report ->> 'complete', jsonb_array_length(parsed_response -> 'entities'), pages"
                " FROM llm_requests WHERE id = %s",
                (row[0],),
            ).fetchone()
            assert ended is not None
            if ended[0] in ("completed", "failed"):
                break
            time.sleep(0.05)
        seconds = time.monotonic() - began
        pages = connection.execute(
            "SELECT sum(cost_usd), string_agg(content, '' ORDER BY page) = %s, count(*) FROM llm_requests WHERE parent_id = %s",
            (text, row[0]),
        ).fetchone()
        twice = connection.execute(
            "SELECT count(*) FROM llm_requests r WHERE r.id = ANY(%s)"
            " AND (SELECT count(*) FROM llm_attempts a WHERE a.request_id = r.id) > 1",
            (list(done_before),),
        ).fetchone()
        lost = connection.execute("SELECT count(*) FROM llm_attempts WHERE outcome = 'lost'").fetchone()
        balanced = connection.execute("SELECT count(*) FROM llmreq_ledger_check").fetchone()
        at_most = simulator.state()["most_in_flight"]
    assert pages is not None
    assert twice is not None
    assert lost is not None
    assert balanced is not None
    return {
        "megabytes": round(len(text.encode()) / 1e6, 2),
        "status": f"{ended[0]}, complete: {ended[2]}",
        "pages": pages[2],
        "most_in_flight": at_most,
        "seconds": round(seconds, 1),
        "text_is_whole": pages[1],
        "pages_cost_is_its_cost": ended[1] == Decimal(pages[0]),
        "finished_before_the_kill": len(done_before),
        "of_them_called_again": twice[0],
        "lost_calls": lost[0],
        "unbalanced": balanced[0],
    }


def _count(connection: Connection, parent: Any, status: str | None) -> int:
    row = connection.execute(
        "SELECT count(*) FROM llm_requests WHERE parent_id = %s AND (%s::text IS NULL OR status = %s)",
        (parent, status, status),
    ).fetchone()
    return int(row[0]) if row else 0


def _ids(connection: Connection, parent: Any) -> set[Any]:
    return {
        row[0]
        for row in connection.execute(
            "SELECT id FROM llm_requests WHERE parent_id = %s AND status = 'completed'", (parent,)
        )
    }


def _text(size: int, pattern: str) -> str:
    places = pattern.count("%d")
    made, length, n = [], 0, 0
    while length < size:
        piece = pattern % tuple((n * 7 + k) % 997 for k in range(places))
        made.append(piece + ("\n\n" if n % 9 == 8 else ""))
        length += len(piece.encode())
        n += 1
    return "".join(made)
