"""Where a run plays: a server of its own behind a proxy and PgBouncer, a provider with faults, workers, a producer."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from llmreq.database.embedded import EmbeddedPostgres
from llmreq.database.migrate import migrate
from llmreq.database.pg_cluster import Cluster
from llmreq.simulator.process import Simulator
from tests.chaos.proxy import Proxy
from tests.worker.fleet import Fleet, Table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RPM, MARGIN = 3000, 0.8
LIMITED = "gpt-6-sol"
CAPPED, CAP_USD = "t1", "0.15"
"""A tenant whose budget binds for most of the storm."""
FAULTS = {
    "http_500": 0.02, "http_429": 0.01, "broken_json": 0.02, "cut": 0.01, "reset": 0.01, "truncated": 0.01, "slow": 0.02,
    "cached": 0.1,
}  # fmt: skip
MODELS = (("openai", "gpt-6-luna"), ("openai", LIMITED), ("anthropic", "claude-haiku-5-5"))


class Scene:
    """Everything that can be hurt, and what was done to it."""

    def __init__(self, chance: random.Random, folder: Path, stack: ExitStack) -> None:
        self.chance = chance
        self.tally: Counter[str] = Counter()
        self.server = EmbeddedPostgres(Cluster(folder / "postgres"))
        self.url = self.server.ensure_running()
        stack.callback(self.server.stop)
        migrate(self.url)
        self.table = Table(self.url)
        self.simulator = stack.enter_context(
            Simulator(latency_ms="lognormal:150:0.5", seed=chance.randrange(2**31))
        )
        self.simulator.configure(faults=FAULTS, limits={LIMITED: {"rpm": RPM}})
        self.proxy = stack.enter_context(Proxy(str(self.server.cluster.socket_folder / ".s.PGSQL.5432")))
        self.bouncer_port = stack.enter_context(_bouncer(self.server, folder))
        self.fleet = Fleet("", self.simulator, folder, LLMREQ_DRAIN_SECONDS="5", LLMREQ_POLL_MS="50")
        stack.callback(self.fleet.stop)
        self.table.all(
            "INSERT INTO llm_lanes (lane, provider, model, requests_per_minute, safety_margin)"
            " VALUES ('openai/' || %s, 'openai', %s, %s, %s)",
            LIMITED, LIMITED, RPM, MARGIN,
        )  # fmt: skip
        self.table.all(
            "INSERT INTO llm_budgets (scope, subject, period, limit_usd) VALUES ('tenant', %s, 'total', %s),"
            " ('all', '', 'day', 1000)",
            CAPPED, CAP_USD,
        )  # fmt: skip
        self._enough = threading.Event()
        self._producer = threading.Thread(target=self._produce, name="producer", daemon=True)
        self.inserted: list[str] = []
        self._timers: list[threading.Timer] = []

    def later(self, seconds: float, what: Callable[[], object]) -> None:
        """Undo by itself what an event did: thaw a worker, end an outage."""
        timer = threading.Timer(seconds, what)
        self._timers.append(timer)
        timer.start()

    def undo(self) -> None:
        """Wait until all that was to be undone later is undone."""
        for timer in self._timers:
            timer.join()

    def start_worker(self) -> None:
        """A worker behind the proxy or PgBouncer, its clock right or wrong."""
        port = self.bouncer_port if self.bouncer_port and self.chance.random() < 0.4 else self.proxy.port
        self.tally["workers"] += 1
        self.tally["workers behind PgBouncer"] += port == self.bouncer_port
        skew = self.chance.choice([0, 0, 3600, -3600, 86_400])
        self.tally["workers with a wrong clock"] += skew != 0
        self.fleet.start(
            "--concurrency", "40",
            LLMREQ_DATABASE_URL=f"postgresql://postgres@127.0.0.1:{port}/llmreq?sslmode=disable&gssencmode=disable",
            PYTHONPATH=f"{HERE / 'skew'}{os.pathsep}{ROOT}", CHAOS_SKEW_SECONDS=str(skew),
        )  # fmt: skip

    def alive(self) -> list[subprocess.Popen[bytes]]:
        """Workers that run."""
        return [worker for worker in self.fleet.workers if worker.poll() is None]

    def produce(self) -> None:
        self._producer.start()

    def stop_producing(self) -> None:
        self._enough.set()
        self._producer.join()

    def _produce(self) -> None:
        """Bursts of requests, each with a dedupe key, so that an insert whose answer was lost may simply be made again."""
        chance = random.Random(self.chance.random())
        number = 0
        while not self._enough.wait(0.1):
            batch = [str(number + n) for n in range(chance.randrange(1, 25))]
            provider, model = chance.choice(MODELS)
            try:
                self.table.all(
                    "INSERT INTO llm_requests"
                    " (provider, model, content, dedupe_key, tenant_id, priority, timeout_seconds, max_attempts)"
                    " SELECT %s, %s, 'request ' || k, k, 't' || k::int %% 5, k::int %% 3 + 4, 10, 6 FROM unnest(%s::text[]) k"
                    " ON CONFLICT DO NOTHING",
                    provider, model, batch,
                )  # fmt: skip
            except psycopg.Error:
                self.tally["inserts made again"] += 1
                continue
            self.inserted += batch
            number += len(batch)
            if chance.random() < 0.05:
                self._cancel_one(chance)
            if chance.random() < 0.1 and self._document(f"document {number}"):
                self.inserted.append(f"document {number}")

    def _document(self, key: str) -> bool:
        """A text of some ten pages."""
        try:
            self.table.all(
                "INSERT INTO llm_requests (agent_name, content, dedupe_key, tenant_id, timeout_seconds, max_attempts)"
                " SELECT 'entity-extractor', string_agg('The crane on quay ' || n || ' is stuck again. ', ''), %s, 't2', 10, 6"
                " FROM generate_series(1, 3000) n ON CONFLICT DO NOTHING",
                key,
            )  # fmt: skip
        except psycopg.Error:
            return False
        self.tally["documents"] += 1
        return True

    def _cancel_one(self, chance: random.Random) -> None:
        try:
            key = chance.choice(self.inserted[-200:])
            self.table.all("SELECT llmreq_cancel(id) FROM llm_requests WHERE dedupe_key = %s", key)
            self.tally["cancellations"] += 1
        except psycopg.Error:
            pass


@contextmanager
def scene(seed: int) -> Iterator[Scene]:
    """A scene in a folder of its own, which its user alone may read."""
    folder = Path(tempfile.mkdtemp(prefix="llmreq-chaos-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        with ExitStack() as stack:
            yield Scene(random.Random(seed), folder, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def crash_postgres(server: EmbeddedPostgres) -> None:
    """Kill the postmaster as a crash would, and bring it back."""
    pid = server.status().pid
    if pid is not None:
        os.kill(pid, signal.SIGQUIT)  # an immediate shutdown: no checkpoint, recovery at the next start
        deadline = time.monotonic() + 30
        while server.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
    server.ensure_running()


@contextmanager
def _bouncer(server: EmbeddedPostgres, folder: Path) -> Iterator[int]:
    """PgBouncer in transaction mode before the server; 0 where it is not installed."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        yield 0
        return
    port = _free_port()
    home = folder / "bouncer"
    home.mkdir()
    home.chmod(0o777)
    (home / "users.txt").write_text('"postgres" ""\n')
    (home / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server.cluster.socket_folder} port=5432 user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\nmax_client_conn = 500\n"
        f"default_pool_size = 30\nserver_login_retry = 1\nignore_startup_parameters = extra_float_digits\nlogfile = {home}/log\n"
    )
    command = [program, str(home / "pgbouncer.ini")]
    if os.geteuid() == 0:
        command[1:1] = ["-u", "postgres"]
    with (home / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
