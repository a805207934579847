"""Databases for tests: one throw-away Postgres per run, one migrated template on it, one fresh copy per test.

The server is started by the launcher's own parts, apart from the user's embedded server, and shared by all
pytest-xdist workers. LLMREQ_TEST_DATABASE_URL names another server: a superuser's URL, database included.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pytest_postgresql import factories
from pytest_postgresql.executors import NoopExecutor

from llmreq.database.embedded import EmbeddedPostgres
from llmreq.database.file_lock import exclusive, try_lock
from llmreq.database.pg_cluster import Cluster
from llmreq.database.pg_settings import CLUSTER_SETTINGS

FOLDER_VARIABLE = "LLMREQ_TEST_FOLDER"
"""Set by the process that runs pytest and inherited by its xdist workers: the folder of this run's server."""

PREFIX = f"llmreq-test-{os.geteuid()}-"

THROW_AWAY = {
    # Nothing here outlives the run.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "512MB",
    # Tests that count buffers must not depend on when it comes by.
    "autovacuum": "off",
}

ENOUGH_MEMORY = 2 * 1024**3
"""Free bytes in /dev/shm from which on the server lives there."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgres: needs a database (set by itself)")
    if not hasattr(config, "workerinput"):
        _sweep()
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder_parents()[0]))
        folder.chmod(0o711)
        os.environ[FOLDER_VARIABLE] = str(folder)
        try_lock(folder / "owner.lock")  # held until this process ends


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and FOLDER_VARIABLE in os.environ:
        folder = Path(os.environ.pop(FOLDER_VARIABLE))
        if given := os.environ.get("LLMREQ_TEST_DATABASE_URL"):
            _drop(given, f"{_run_name(folder)}%")
        _remove(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "admin_url" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")


@pytest.fixture(scope="session")
def run_folder() -> Path:
    """A folder that all xdist workers of this run share, and that any user may pass through."""
    return Path(os.environ[FOLDER_VARIABLE])


@pytest.fixture(scope="session")
def admin_url(run_folder: Path) -> str:
    """The URL of a superuser on the run's server, for cluster-wide statements."""
    return os.environ.get("LLMREQ_TEST_DATABASE_URL") or _server(run_folder).ensure_running()


@pytest.fixture(scope="session")
def template(admin_url: str, run_folder: Path) -> str:
    """The name of a migrated database nobody is connected to; the first worker that needs it makes it."""
    from llmreq.database.migrate import migrate

    name = f"{_run_name(run_folder)}_tmpl"
    with exclusive(run_folder / "template.lock", 60), psycopg.connect(admin_url, autocommit=True) as admin:
        if not admin.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall():
            admin.execute(f"CREATE DATABASE {name}_part")
            migrate(_url_of(admin_url, f"{name}_part"))
            admin.execute(f"ALTER DATABASE {name}_part RENAME TO {name}")
    return name


@pytest.fixture
def database(admin_url: str, template: str, run_folder: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    yield from _fresh(admin_url, template, run_folder)


@pytest.fixture
def empty_database(admin_url: str, run_folder: Path) -> Iterator[str]:
    """The URL of a fresh database without our schema."""
    yield from _fresh(admin_url, "template0", run_folder)


@pytest.fixture(scope="session")
def postgres_server(admin_url: str, template: str) -> NoopExecutor:
    """The run's server, as pytest-postgresql sees one."""
    given = conninfo_to_dict(admin_url)
    return NoopExecutor(
        host=str(given["host"]),
        port=str(given.get("port", 5432)),
        user=str(given["user"]),
        password=str(given["password"]) if "password" in given else None,
        options="",
        dbname=template.removesuffix("_tmpl"),
        maintenance_dbname=str(given["dbname"]),
    )


postgresql_noproc = factories.postgresql_noproc(depends_on="postgres_server")
postgresql = factories.postgresql("postgresql_noproc")
"""A psycopg connection to a fresh, migrated database."""


def _fresh(admin_url: str, template: str, run_folder: Path) -> Iterator[str]:
    name = f"{_run_name(run_folder)}_{uuid4().hex[:12]}"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        # A copy of 8.6 MB with its drop takes 14 ms in memory (60 to 280 on disk); wal_log takes 90 ms more.
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield _url_of(admin_url, name)
    finally:
        _drop(admin_url, name)


def _drop(admin_url: str, pattern: str) -> None:
    with psycopg.connect(admin_url, autocommit=True) as admin:
        for (name,) in admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", [pattern]
        ).fetchall():
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _server(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(Cluster(folder / "pg", settings={**CLUSTER_SETTINGS, **THROW_AWAY}))


def _run_name(folder: Path) -> str:
    return f"llmreq_test_{folder.name.removeprefix(PREFIX)}"


def _url_of(admin_url: str, database: str) -> str:
    address, mark, query = admin_url.partition("?")
    return f"{address.rpartition('/')[0]}/{database}{mark}{query}"


def _remove(folder: Path) -> None:
    if (folder / "pg").exists():
        _server(folder).stop()
    shutil.rmtree(folder)


def folder_parents() -> list[Path]:
    """Where the run's folder may be, best first: memory that allows programs to run, else the disk.

    Not pytest's own folder, which the user that root's server runs as cannot enter; and not $TMPDIR, which
    may be too long for a socket.
    """
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK):
        found = os.statvfs(memory)
        if found.f_bavail * found.f_frsize >= ENOUGH_MEMORY and not found.f_flag & getattr(
            os, "ST_NOEXEC", 0
        ):
            return [memory, Path("/tmp")]
    return [Path("/tmp")]


def _sweep() -> None:
    """Stop the servers of runs that were killed: nobody holds their owner.lock any more."""
    for folder in (folder for parent in folder_parents() for folder in parent.glob(f"{PREFIX}*")):
        if (folder / "owner.lock").exists() and (held := try_lock(folder / "owner.lock")) is not None:
            os.close(held)
            _remove(folder)
