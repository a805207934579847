"""Hands for the SQL functions: what a worker does, one statement at a time, with a clock that stands still until moved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Json

Row = dict[str, Any]

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HELLO = [{"role": "user", "content": "hi"}]


@dataclass
class Queue:
    """One session on the test's database."""

    connection: psycopg.Connection[Row]
    now: datetime = START

    @classmethod
    def open(cls, url: str) -> Queue:
        queue = cls(psycopg.connect(url, autocommit=True, row_factory=dict_row))
        queue.set_clock(START)
        return queue

    def set_clock(self, now: datetime) -> None:
        self.now = now
        self.connection.execute("SELECT set_config('llmreq.now', %s, false)", (now.isoformat(),))

    def advance(self, **amount: float) -> None:
        self.set_clock(self.now + timedelta(**amount))

    def all(self, sql: str, *parameters: Any) -> list[Row]:
        return self.connection.execute(sql, parameters).fetchall()

    def one(self, sql: str, *parameters: Any) -> Row:
        rows = self.all(sql, *parameters)
        assert len(rows) == 1, rows
        return rows[0]

    def run(self, sql: str, *parameters: Any) -> int:
        return self.connection.execute(sql, parameters).rowcount

    def insert(self, **columns: Any) -> Row:
        if "messages" not in columns and "content" not in columns:
            columns["messages"] = HELLO
        if not {"provider", "model", "task_type", "quality"} & set(columns):
            columns |= {"provider": "openai", "model": "gpt-6-luna"}
        names = ", ".join(columns)
        marks = ", ".join(["%s"] * len(columns))
        values = [Json(v) if isinstance(v, dict | list) else v for v in columns.values()]
        return self.one(f"INSERT INTO llm_requests ({names}) VALUES ({marks}) RETURNING *", *values)

    def request(self, row: Row) -> Row:
        return self.one("SELECT * FROM llm_requests WHERE id = %s", row["id"])

    def attempts(self, row: Row) -> list[Row]:
        return self.all("SELECT * FROM llm_attempts WHERE request_id = %s ORDER BY claim_seq", row["id"])

    def lane(self, lane: str = "openai/gpt-6-luna") -> Row:
        return self.one("SELECT * FROM llm_lanes WHERE lane = %s", lane)

    def worker(self, *providers: str, lease: float = 15, unusable: dict[str, str] | None = None) -> int:
        row = self.one(
            "SELECT llmreq_register('test', '0', %s, %s::jsonb, 100, make_interval(secs => %s)) AS id",
            list(providers or ("openai", "anthropic", "local/rules", "local/pages")),
            Json(unusable or {}),
            lease,
        )
        return int(row["id"])

    def claim(self, worker: int, limit: int = 10) -> list[Row]:
        return self.all("SELECT * FROM llmreq_claim(%s, %s)", worker, limit)

    def claim_one(self, worker: int) -> Row:
        (claim,) = self.claim(worker)
        return claim

    def finish(self, worker: int, claim: Row, outcome: str = "completed", **facts: Any) -> Row:
        return self.one(
            "SELECT * FROM llmreq_finish(%s, %s::json)", worker, Json([told(claim, outcome, **facts)])
        )

    def restore(self, sql: str, *parameters: Any) -> None:
        """What only somebody who brings back a dump may do: write the engine's columns by hand."""
        self.run("SET llmreq.restore = on")
        self.run(sql, *parameters)
        self.run("RESET llmreq.restore")

    def rescue(self, limit: int = 500) -> int:
        """As some other worker's maintenance does it: one that beats, and is not seen again."""
        witness = self.one(
            "INSERT INTO llm_workers (name, version, providers, concurrency, lease_seconds, heartbeat_at, lease_until)"
            " VALUES ('witness', '0', '{}', 1, 15, llmreq_now(), llmreq_now() + interval '15 s') RETURNING id"
        )
        rescued = int(self.one("SELECT llmreq_rescue(%s) AS n", limit)["n"])
        self.run("DELETE FROM llm_workers WHERE id = %s", witness["id"])
        return rescued


def told(claim: Row, outcome: str = "completed", **facts: Any) -> Row:
    """An outcome as a worker reports it: by default an answer of 100 tokens in and 10 out."""
    answered = outcome in ("completed", "malformed_json", "schema_mismatch", "truncated", "refused")
    usage = {"billed": "usage", "input_tokens": 100, "output_tokens": 10, "http_status": 200}
    return {
        "id": str(claim["id"]),
        "claim_seq": claim["claim_seq"],
        "claimed_at": claim["claimed_at"].isoformat(),
        "outcome": outcome,
        "max_output_tokens": claim["max_output_tokens"],
        **(usage if answered else {"billed": "none"}),
        **({"response": "ok"} if outcome == "completed" else {}),
        **facts,
    }
