"""What every benchmark stands on: a database of its own, worker processes, CPU clocks, a cheap provider."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from llmreq.database.connection import database_url
from llmreq.database.migrate import migrate
from llmreq.settings import load_settings

TICKS = os.sysconf("SC_CLK_TCK")
Connection = psycopg.Connection[Any]


@contextmanager
def fresh_database() -> Iterator[str]:
    """A migrated database of this run's own, on the server that `llmreq` would use; dropped afterwards."""
    admin = database_url(load_settings())
    name = f"llmreq_bench_{os.getpid()}_{time.monotonic_ns() % 10**9}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        parts = psycopg.conninfo.conninfo_to_dict(admin)
        url = psycopg.conninfo.make_conninfo("", **{**parts, "dbname": name})
        query = f"?host={parts['host']}&port={parts.get('port', 5432)}"
        password = f":{parts['password']}" if "password" in parts else ""
        url = f"postgresql://{parts['user']}{password}@/{name}{query}"
        try:
            migrate(url)
            yield url
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def connect(url: str) -> Connection:
    """A connection in autocommit."""
    return psycopg.connect(url, autocommit=True)


@dataclass
class Fleet:
    """Worker processes as an operator would start them."""

    url: str
    openai_base_url: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """One worker; its log goes to a file."""
        ours = {
            name: value for name, value in os.environ.items() if not name.startswith(("LLMREQ_", "OPENAI_"))
        }
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        worker = subprocess.Popen(
            [sys.executable, "-m", "llmreq", "worker", *arguments],
            env={
                **ours,
                "LLMREQ_DATABASE_URL": self.url,
                "LLMREQ_DATA_DIR": str(self.folder),
                "OPENAI_BASE_URL": self.openai_base_url,
                "OPENAI_API_KEY": "sk-bench",
                **self.environment,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """Let every worker end by itself, then kill what is left."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


@contextmanager
def fleet(url: str, openai_base_url: str, folder: Path, **environment: str) -> Iterator[Fleet]:
    """Workers that end with the block."""
    workers = Fleet(url, openai_base_url, folder, environment)
    try:
        yield workers
    finally:
        workers.stop()


def cpu_seconds(pid: int) -> float:
    """User and system time of one process so far."""
    return _times(pid)[0]


def postgres_cpu_seconds(connection: Connection) -> float | None:
    """Of the server and all its processes, ended ones too; None when it runs on another machine."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    try:
        postmaster = _parent(int(row[0])) if row else 0
        total = sum(_times(postmaster))
        return total + sum(cpu_seconds(pid) for pid in _children(postmaster))
    except OSError:
        return None


def memory_mb(pid: int) -> float:
    """Resident memory of one process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def raise_open_files(wanted: int) -> int:
    """Let this process and its children open so many files, as far as the system allows; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, possible), hard))
    return max(soft, possible)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


median = statistics.median


def machine(connection: Connection) -> dict[str, str]:
    """What the figures were measured on."""
    row = connection.execute("SHOW server_version").fetchone()
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "python": platform.python_version(),
        "postgres": str(row[0]) if row else "?",
        "system": f"{platform.system()} {platform.release()}",
    }


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _times(pid: int) -> tuple[float, float]:
    """Own time, and that of children that ended."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS, (int(fields[13]) + int(fields[14])) / TICKS


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if _parent(int(path.name)) == parent:
                    found.append(int(path.name))
            except OSError:
                continue  # it ended meanwhile
    return found
