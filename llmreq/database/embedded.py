"""The embedded Postgres: a server that any llmreq command starts when it needs one, and that outlives it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from llmreq.database.file_lock import POLL_SECONDS, exclusive, is_locked, try_lock
from llmreq.database.pg_cluster import SUPERUSER, Cluster
from llmreq.errors import DatabaseUnavailableError
from llmreq.limits import DATABASE_CONNECT_SECONDS, DATABASE_START_SECONDS, DATABASE_STOP_SECONDS
from llmreq.settings import default_data_dir

DATABASE = "llmreq"


class _State(Enum):
    DOWN = "down"
    NO_DATABASE = "no database"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What is known of a server. `pid` is the postmaster's; without an answer it and `version` are None."""

    running: bool
    pid: int | None
    version: str | None
    url: str
    data_folder: Path
    log: Path


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A cluster's server, started on demand by whichever process needs it first."""

    cluster: Cluster

    def url(self, database: str = DATABASE) -> str:
        """The URL of a database on this server, running or not. It works for this user (and root) only."""
        host = quote(str(self.cluster.socket_folder), safe="")
        # With the port, lest PGPORT be taken.
        return f"postgresql://{SUPERUSER}@/{database}?host={host}&port=5432"

    def ensure_running(self) -> str:
        """The URL of a server that answers, started (and its cluster made) when there was none.

        Any number of processes may call this at once: one starts the server, the others wait for it.
        Raises DatabaseUnavailableError.
        """
        with _in_one_line(self.cluster.folder):
            if self._probe() is not _State.READY:
                self._start()
        return self.url()

    def stop(self) -> bool:
        """Stop the server, ending its sessions; False when none was running. The data stays.

        Raises DatabaseUnavailableError when it does not end in time.
        """
        with _in_one_line(self.cluster.folder):
            return self.is_alive() and self._stop()

    def status(self) -> ServerStatus:
        """What is known of the server, without starting it."""
        running = self._probe() is not _State.DOWN
        return ServerStatus(
            running=running,
            pid=self.cluster.recorded_pid() if running else None,
            version=self._version() if running else None,
            url=self.url(),
            data_folder=self.cluster.data,
            log=self.cluster.log,
        )

    def is_alive(self) -> bool:
        """Whether any process of the server lives; it need not accept connections."""
        return is_locked(self.cluster.alive_lock)

    def _stop(self) -> bool:
        with exclusive(self.cluster.start_lock, DATABASE_START_SECONDS):
            said = self.cluster.shut_down()
            deadline = time.monotonic() + DATABASE_STOP_SECONDS
            while self.is_alive():
                if time.monotonic() > deadline:
                    raise DatabaseUnavailableError(f"the embedded Postgres did not stop: {said}")
                time.sleep(POLL_SECONDS)
        return True

    def _start(self) -> None:
        self.cluster.make_folder()
        deadline = time.monotonic() + DATABASE_START_SECONDS
        with exclusive(self.cluster.start_lock, DATABASE_START_SECONDS):
            self.cluster.prepare()
            launched = False
            while (state := self._probe()) is not _State.READY:
                if state is _State.NO_DATABASE:
                    self._create_database()
                elif not self.is_alive():
                    if launched:
                        raise DatabaseUnavailableError(
                            f"the embedded Postgres ended at once: {self.cluster.last_words()}"
                        )
                    launched = self._launch()
                elif time.monotonic() > deadline:
                    raise DatabaseUnavailableError(
                        f"the embedded Postgres has not answered for {DATABASE_START_SECONDS:.0f} s:"
                        f" {self.cluster.last_words()}"
                    )
                else:
                    time.sleep(POLL_SECONDS)

    def _launch(self) -> bool:
        """Make the cluster if need be and start its server; False while somebody else holds its lock."""
        alive = try_lock(self.cluster.alive_lock)
        if alive is None:
            return False
        try:
            self.cluster.create(alive)
            self.cluster.launch(alive)
        finally:
            os.close(alive)  # our hold; the server keeps its own
        return True

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            self.url("postgres"), autocommit=True, connect_timeout=DATABASE_CONNECT_SECONDS
        )

    def _probe(self) -> _State:
        """Ask with a real connection: a killed server's socket still takes a bare connect for an instant."""
        if not self.cluster.is_private():
            return _State.DOWN
        try:
            with self._connect() as connection:
                found = connection.execute(
                    "SELECT FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone()
        except psycopg.OperationalError:
            return _State.DOWN
        return _State.NO_DATABASE if found is None else _State.READY

    def _version(self) -> str:
        with self._connect() as connection:
            return connection.info.parameter_status("server_version") or "unknown"

    def _create_database(self) -> None:
        with self._connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


@contextmanager
def _in_one_line(folder: Path) -> Iterator[None]:
    """Turn the system's errors (no rights, no space) into one line with the remedy."""
    try:
        yield
    except OSError as error:
        raise DatabaseUnavailableError(
            f"the embedded Postgres cannot use {error.filename or folder}: {error.strerror or error};"
            " set LLMREQ_DATA_DIR to another folder, or LLMREQ_DATABASE_URL"
        ) from None


def default_server(data_dir: Path | None = None) -> EmbeddedPostgres:
    """This user's server, below `data_dir` (default: `settings.default_data_dir()`)."""
    return EmbeddedPostgres(Cluster((data_dir or default_data_dir()) / "postgres"))


def ensure_running(data_dir: Path | None = None) -> str:
    """The URL of this user's embedded Postgres, started unless it runs. Raises DatabaseUnavailableError."""
    return default_server(data_dir).ensure_running()


def stop(data_dir: Path | None = None) -> bool:
    """Stop this user's embedded Postgres; False when it was not running."""
    return default_server(data_dir).stop()


def status(data_dir: Path | None = None) -> ServerStatus:
    """What is known of this user's embedded Postgres; does not start it."""
    return default_server(data_dir).status()
