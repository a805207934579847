"""`enqueue_many` beside a raw COPY of the very same bytes: into `llm_requests`, and into a plain table without our trigger."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.rig import Connection, connect, fresh_database, median
from llmreq import Client

COLUMNS = "context, id, messages, model, priority, provider, response_schema, task_type"
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["category", "urgency"],
    "properties": {
        "category": {"enum": ["fault", "question", "praise"]},
        "urgency": {"type": "integer", "minimum": 1, "maximum": 5},
    },
}
PIECE = 256 * 1024
"""Bytes per write of the raw COPY: larger ones are no faster."""


def run(rows: int, rounds: int) -> dict[str, Any]:
    """Medians of alternating rounds; the raw COPY sends bytes that were made beforehand."""
    requests = _requests(rows)
    times: dict[str, list[float]] = {"ours": [], "raw": [], "plain": []}
    with fresh_database() as url, connect(url) as connection, Client(url) as client:
        connection.execute("CREATE TABLE plain (LIKE llm_requests INCLUDING DEFAULTS, PRIMARY KEY (id))")
        connection.execute("ALTER TABLE llm_requests SET (autovacuum_enabled = off)")
        client.enqueue_many(requests)
        payload = _read(connection)
        ways: dict[str, Callable[[], object]] = {
            "ours": lambda: client.enqueue_many(requests),
            "raw": lambda: _write(connection, "llm_requests", payload),
            "plain": lambda: _write(connection, "plain", payload),
        }
        for _ in range(rounds):
            for name, way in ways.items():
                connection.execute("TRUNCATE llm_requests, plain")
                connection.execute("CHECKPOINT")
                began = time.perf_counter()
                way()
                times[name].append(time.perf_counter() - began)
    ours, raw, plain = (median(times[name]) for name in ("ours", "raw", "plain"))
    return {
        "rows": rows,
        "bytes_per_row": len(payload) / rows,
        "rows_per_second": rows / ours,
        "raw_rows_per_second": rows / raw,
        "plain_rows_per_second": rows / plain,
        "share_of_raw_copy": raw / ours,
        "share_of_plain_copy": plain / ours,
        "spread": (max(times["ours"]) - min(times["ours"])) / ours,
    }


def _requests(rows: int) -> list[dict[str, Any]]:
    text = (
        "The crane on quay 3 is stuck again, the third time this week, and nobody answers the telephone. " * 5
    )
    return [
        {
            "messages": [
                {"role": "system", "content": "You sort tickets of a harbour."},
                {"role": "user", "content": f"Ticket {n}: {text}"},
            ],
            "context": {"ticket": n},
            "response_schema": SCHEMA,
            "task_type": "triage",
            "provider": "openai",
            "model": "gpt-6-luna",
            "priority": 6,
        }
        for n in range(rows)
    ]


def _read(connection: Connection) -> bytes:
    with connection.cursor().copy(f"COPY llm_requests ({COLUMNS}) TO STDOUT") as copy:
        return b"".join(copy)


def _write(connection: Connection, table: str, payload: bytes) -> None:
    with connection.cursor().copy(f"COPY {table} ({COLUMNS}) FROM STDIN") as copy:
        for at in range(0, len(payload), PIECE):
            copy.write(payload[at : at + PIECE])
