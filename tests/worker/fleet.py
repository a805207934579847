"""Real worker processes against a real database and the simulator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Json

from llmreq.simulator.process import Simulator

OPENAI_KEY = "sk-test-openai-5f3a9c"
ANTHROPIC_KEY = "sk-ant-test-77b1e0"
PATIENCE_SECONDS = 60

Row = dict[str, Any]


class Fleet:
    """Starts `llmreq worker` processes; `stop` ends all of them."""

    def __init__(self, url: str, simulator: Simulator, folder: Path, **environment: str) -> None:
        self.url = url
        self.folder = folder
        self.environment = {
            "LLMREQ_DATABASE_URL": url,
            "LLMREQ_DATA_DIR": str(folder),
            "LLMREQ_HEARTBEAT_SECONDS": "1",
            "LLMREQ_LEASE_SECONDS": "3",
            "OPENAI_BASE_URL": simulator.openai_base_url,
            "OPENAI_API_KEY": OPENAI_KEY,
            "ANTHROPIC_BASE_URL": simulator.anthropic_base_url,
            "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
            **environment,
        }
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """One worker; its log goes to a file in the folder."""
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        worker = subprocess.Popen(
            [sys.executable, "-m", "llmreq", "worker", *arguments],
            env={**_without_ours(os.environ), **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        self.workers.append(worker)
        return worker

    def drain(self, **environment: str) -> int:
        """Run one worker until nothing is left; its exit code."""
        return self.start("--drain", **environment).wait(timeout=PATIENCE_SECONDS)

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
                worker.wait()


class Table:
    """The producer's side: plain SQL, on a connection that is opened again when the server was restarted."""

    def __init__(self, url: str) -> None:
        self.url = url

    def all(self, sql: str, *parameters: Any) -> list[Row]:
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def one(self, sql: str, *parameters: Any) -> Row:
        (row,) = self.all(sql, *parameters)
        return row

    def insert(self, **columns: Any) -> Row:
        names = ", ".join(columns)
        marks = ", ".join(["%s"] * len(columns))
        values = [Json(v) if isinstance(v, dict | list) else v for v in columns.values()]
        return self.one(f"INSERT INTO llm_requests ({names}) VALUES ({marks}) RETURNING *", *values)

    def request(self, row: Row) -> Row:
        return self.one("SELECT * FROM llm_requests WHERE id = %s", row["id"])

    def attempts(self, row: Row) -> list[Row]:
        return self.all("SELECT * FROM llm_attempts WHERE request_id = %s ORDER BY claim_seq", row["id"])

    def count(self, where: str) -> int:
        return int(self.one(f"SELECT count(*) AS n FROM llm_requests WHERE {where}")["n"])


def until(what: str, condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition; fail with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def check_bill(table: Table, simulator: Simulator) -> None:
    """Every answered call is booked at the provider's own figure; answers that nobody booked belong to lost calls."""
    calls = {f"req_{call['id']}": call for call in simulator.calls()}
    booked = table.all("SELECT * FROM llm_attempts WHERE cost_basis = 'usage'")
    for attempt in booked:
        assert attempt["cost_usd"] == Decimal(calls.pop(attempt["provider_request_id"])["cost_usd"])
    unbooked = [call for call in calls.values() if call["billed"]]
    lost = table.all("SELECT * FROM llm_attempts WHERE cost_basis = 'upper_bound'")
    assert len(unbooked) <= len(lost)
    assert sum(Decimal(call["cost_usd"]) for call in unbooked) <= sum(
        (each["cost_usd"] for each in lost), Decimal(0)
    )


def _without_ours(environment: Mapping[str, str]) -> dict[str, str]:
    ours = ("LLMREQ_", "OPENAI_", "ANTHROPIC_", "VOYAGE_")
    return {name: value for name, value in environment.items() if not name.startswith(ours)}
