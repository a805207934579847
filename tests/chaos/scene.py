"""Where a run plays: a server of its own behind a proxy and PgBouncer, providers good and bad, workers, a producer."""

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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg

from llmreq.database.embedded import EmbeddedPostgres
from llmreq.database.migrate import migrate
from llmreq.database.pg_cluster import Cluster
from llmreq.simulator.process import Simulator
from tests.chaos.census import Census, children_of
from tests.chaos.hostile import hostile_provider
from tests.chaos.producer import LIMITED, TRAPS, Producer
from tests.chaos.proxy import Proxy
from tests.worker.fleet import Fleet, Table, until

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LEASE_SECONDS = 3.0
RPM, MARGIN = 3000, 0.8
CAPPED, CAP_USD = "t1", "0.15"
"""A tenant whose budget binds for most of the storm."""
FAULTS = {
    "http_500": 0.02, "http_429": 0.01, "broken_json": 0.02, "cut": 0.01, "reset": 0.01, "truncated": 0.01, "slow": 0.02,
    "cached": 0.1,
}  # fmt: skip
SLOW_NAME = "hangs.invalid"
"""A host whose look-up never comes back in time (skew/sitecustomize.py)."""


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
        self.fleet.environment |= _configure(folder, stack.enter_context(hostile_provider()))
        stack.callback(self._end_orphans)
        stack.callback(self.fleet.stop)
        self._set_limits()
        self.producer = Producer(self.table, chance, self.tally)
        self.census = stack.enter_context(Census(self.url))
        self.hurt: set[int] = set()
        """Processes whose calls may rightly be taken for lost: killed, frozen beyond the lease, or cut off alone."""
        self.ending: set[int] = set()
        self.orphans: set[int] = set()
        self.deleted: set[str] = set()
        self.deleted_ids: set[str] = set()
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

    def execute(self, sql: str) -> int:
        """Whatever statements, on the server itself; how many rows the last one touched. Raises psycopg.Error."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql.encode()).rowcount

    def insist(self, sql: str) -> None:
        """The same, as often as it takes: the server may be away."""

        def done() -> bool:
            try:
                self.execute(sql)
            except psycopg.Error:
                time.sleep(0.1)
                return False
            return True

        until(sql, done)

    def start_worker(self, processes: int = 1) -> None:
        """A worker behind the proxy or PgBouncer, its clock right or wrong."""
        port = self.bouncer_port if self.bouncer_port and self.chance.random() < 0.4 else self.proxy.port
        self.tally["workers"] += 1
        self.tally["workers behind PgBouncer"] += port == self.bouncer_port
        skew = self.chance.choice([0, 0, 3600, -3600, 86_400])
        self.tally["workers with a wrong clock"] += skew != 0
        self.fleet.start(
            "--concurrency", "40", "--processes", str(processes),
            LLMREQ_DATABASE_URL=f"postgresql://postgres@127.0.0.1:{port}/llmreq?sslmode=disable&gssencmode=disable",
            PYTHONPATH=f"{HERE / 'skew'}{os.pathsep}{ROOT}", CHAOS_SKEW_SECONDS=str(skew), CHAOS_SLOW_NAME=SLOW_NAME,
        )  # fmt: skip

    def alive(self) -> list[subprocess.Popen[bytes]]:
        """Workers that run."""
        return [worker for worker in self.fleet.workers if worker.poll() is None]

    def processes_of(self, worker: subprocess.Popen[bytes]) -> set[int]:
        """Its own process and its children."""
        return {worker.pid, *children_of(worker.pid)}

    def signal(self, worker: subprocess.Popen[bytes], number: int) -> None:
        """To all its processes; to none that has ended."""
        for pid in self.processes_of(worker):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """The process itself; its children are to notice."""
        pids = self.processes_of(worker)
        self.hurt |= pids
        self.orphans |= pids - {worker.pid}
        worker.kill()
        worker.wait()

    def terminate(self, worker: subprocess.Popen[bytes], hurry: bool) -> None:
        """Ask it to end, once or twice."""
        self.ending |= self.processes_of(worker)
        for _ in range(2 if hurry else 1):
            worker.terminate()

    def lose_the_database(self) -> None:
        """Who is told to end without it leaves its answers on disk, and its calls to be taken for lost."""
        self.hurt |= self.ending

    def hurt_all(self) -> None:
        """Every worker that runs may lose its lease now."""
        for worker in self.alive():
            self.hurt |= self.processes_of(worker)

    def _end_orphans(self) -> None:
        for pid in self.orphans:
            if "llmreq" in _command_line(pid):
                os.kill(pid, signal.SIGKILL)

    def _set_limits(self) -> None:
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
        self.table.all(
            "INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)"
            " SELECT p, m, '2020-01-01', 0, 0, 'chaos' FROM unnest(%s::text[]) m, unnest(ARRAY['hostile', 'unreachable']) p",
            [*TRAPS, "any"],
        )  # fmt: skip


def _configure(folder: Path, hostile_url: str) -> dict[str, str]:
    """The workers' configuration file, with the providers that mean harm."""
    path = folder / "llmreq.toml"
    path.write_text(
        f'[providers.hostile]\napi = "openai"\nbase_url = "{hostile_url}"\n'
        f'[providers.unreachable]\napi = "openai"\nbase_url = "http://{SLOW_NAME}/v1"\n'
    )
    return {"LLMREQ_CONFIG": str(path)}


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


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
