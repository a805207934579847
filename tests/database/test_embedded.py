"""The embedded Postgres: started on demand, alone with its user, and hard to kill."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from llmreq.database.embedded import EmbeddedPostgres, default_server
from llmreq.database.file_lock import is_locked, try_lock
from llmreq.database.pg_account import Account, make_folder, run_as, server_account
from llmreq.database.pg_binaries import Binaries, bundled, usable_by
from llmreq.database.pg_cluster import Cluster
from llmreq.errors import DatabaseUnavailableError

STRANGER = 54321
"""The uid of a user that is neither us nor the server."""

START = (
    "import sys, pathlib; from llmreq.database.embedded import ensure_running;"
    "ensure_running(pathlib.Path(sys.argv[1]))"
)

as_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")


@pytest.fixture
def server(home: Path) -> EmbeddedPostgres:
    """A server that is not started yet."""
    return default_server(home)


def test_it_starts_on_demand_and_is_found_again(server: EmbeddedPostgres) -> None:
    assert not server.status().running
    url = server.ensure_running()
    first = server.status()
    assert (server.ensure_running(), server.status().pid) == (url, first.pid)
    assert (
        _value(url, "CREATE TABLE kept (x int); INSERT INTO kept VALUES (7); SELECT current_database()")
        == "llmreq"
    )
    assert (server.stop(), server.stop(), server.status().running) == (True, False, False)
    assert _value(server.ensure_running(), "SELECT x FROM kept") == 7


def test_it_brings_utf8_vectors_and_no_network(server: EmbeddedPostgres) -> None:
    url = server.ensure_running()
    assert _value(url, "SELECT upper('ä') || current_setting('server_encoding')") == "ÄUTF8"
    assert _value(url, "CREATE EXTENSION vector; SELECT '[3,4]'::vector <-> '[0,0]'") == 5.0
    assert _value(url, "SELECT current_setting('listen_addresses')") == ""


def test_nobody_else_can_reach_it(server: EmbeddedPostgres) -> None:
    server.ensure_running()
    socket_folder, data = server.cluster.socket_folder, server.cluster.data
    for folder in (socket_folder, data):
        assert folder.stat().st_mode & 0o777 == 0o700
    for file in server.cluster.folder.glob("*.lo*"):
        assert file.stat().st_mode & 0o077 == 0, file
    if os.geteuid() == 0:
        assert _as_stranger(lambda: psycopg.connect(server.url(), connect_timeout=5)) == "OperationalError"
        assert _as_stranger(lambda: (data / "PG_VERSION").read_text()) == "PermissionError"
        assert _as_stranger(server.ensure_running) == "DatabaseUnavailableError"
        assert _as_stranger(server.stop) == "DatabaseUnavailableError"
        assert _as_stranger(server.status) == "nothing"


def test_processes_that_race_agree_on_one_server(home: Path, server: EmbeddedPostgres) -> None:
    starters = [_python(START, home) for _ in range(4)]
    assert [starter.wait() for starter in starters] == [0, 0, 0, 0]
    assert server.cluster.log.read_text().count("database system is ready") == 1


def test_threads_that_race_agree_on_one_server(server: EmbeddedPostgres) -> None:
    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(lambda _: server.ensure_running(), range(4)))
    assert urls == {server.url()}
    assert server.cluster.log.read_text().count("database system is ready") == 1


def test_a_killed_server_is_started_again_with_its_data(server: EmbeddedPostgres) -> None:
    url = server.ensure_running()
    _value(url, "CREATE TABLE kept AS SELECT 7 AS x; SELECT 1")
    with psycopg.connect(url):  # a session that is open when it happens
        first = _pid(server)
        os.kill(first, signal.SIGKILL)
        assert _value(server.ensure_running(), "SELECT x FROM kept") == 7
    assert _pid(server) != first


def test_the_end_of_its_starter_and_ctrl_c_do_not_reach_it(home: Path, server: EmbeddedPostgres) -> None:
    starter = _python(f"{START}; print(flush=True); sys.stdin.read()", home)
    assert starter.stdout is not None
    starter.stdout.readline()
    pid = _pid(server)
    os.killpg(starter.pid, signal.SIGINT)
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    server.ensure_running()
    assert _pid(server) == pid


def test_a_starter_that_is_killed_while_it_makes_the_cluster_leaves_no_damage(
    home: Path, server: EmbeddedPostgres
) -> None:
    starter = _python(START, home)
    _until(lambda: (server.cluster.folder / "data.part" / "PG_VERSION").exists())
    starter.kill()
    starter.wait()
    assert _value(server.ensure_running(), "SELECT 1") == 1
    assert not (server.cluster.folder / "data.part").exists()


def test_a_pid_file_that_names_a_stranger_is_stale(server: EmbeddedPostgres) -> None:
    server.ensure_running()
    pid_file = server.cluster.data / "postmaster.pid"
    told = pid_file.read_text()
    server.stop()
    account = server.cluster.account
    # Of the server's own user, so that Postgres by itself would take it for the old server.
    stranger = subprocess.Popen(
        ["/bin/sh", "-c", "read forever"],
        stdin=subprocess.PIPE,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    try:
        pid_file.write_text(told.replace(told.partition("\n")[0], str(stranger.pid), 1))
        pid_file.chmod(0o600)
        if account:
            os.chown(pid_file, account.uid, account.gid)
        assert _value(server.ensure_running(), "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.communicate()


def test_the_caller_s_environment_does_not_lead_it_astray(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGPORT": "1",
        "PGHOST": "nowhere.invalid",
        "PGDATA": "/nowhere",
        "PGDATABASE": "nothing",
        "LC_ALL": "xx_XX.nonsense",
        "TZ": "Nowhere/Never",
    }.items():
        monkeypatch.setenv(name, value)
    assert _value(server.ensure_running(), "SELECT current_setting('TimeZone')") == "UTC"


def test_a_long_path_gets_a_short_socket_folder_that_may_not_be_a_trap(home: Path) -> None:
    server = default_server(home / ("long" * 25))
    folder = server.cluster.socket_folder
    assert folder.parent == Path("/tmp")
    folder.mkdir(mode=0o755)  # somebody was there first and can look in
    try:
        with pytest.raises(DatabaseUnavailableError, match="not ours alone"):
            server.ensure_running()
        folder.rmdir()
        assert _value(server.ensure_running(), "SELECT 1") == 1
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_start_that_fails_says_why_in_one_line(server: EmbeddedPostgres) -> None:
    server.ensure_running()
    server.stop()
    with (server.cluster.data / "postgresql.conf").open("a") as settings:
        settings.write("shared_buffers = nonsense\n")
    with pytest.raises(DatabaseUnavailableError, match=r"ended at once: .*FATAL.*server\.log") as caught:
        server.ensure_running()
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(DatabaseUnavailableError, match=r"llmreq-home.*set LLMREQ_DATA_DIR"):
        default_server(home / "file" / "deeper").ensure_running()


def test_data_of_another_major_version_is_left_alone() -> None:
    with pytest.raises(DatabaseUnavailableError, match="made by PostgreSQL 9 "):
        bundled(9)
    assert bundled().major >= 18


def test_a_lock_is_free_again_once_its_holder_is_dead(home: Path) -> None:
    lock = home / "lock"
    holder = _python(
        "import sys, pathlib; from llmreq.database.file_lock import try_lock\n"
        "print(try_lock(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.read()",
        lock,
    )
    assert holder.stdout is not None
    assert int(holder.stdout.readline()) > 2
    assert is_locked(lock)
    assert try_lock(lock) is None
    holder.kill()
    holder.wait()
    assert not is_locked(lock)


@as_root_only
def test_root_s_server_is_an_unprivileged_user_s(server: EmbeddedPostgres) -> None:
    server.ensure_running()
    account = server_account()
    assert account is not None
    assert account.uid != 0
    assert Path(f"/proc/{_pid(server)}").stat().st_uid == account.uid
    assert server.cluster.data.stat().st_uid == account.uid
    assert server.cluster.folder.stat().st_uid == 0


@as_root_only
def test_a_folder_closed_to_the_server_s_user_is_refused_and_stays_closed(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(DatabaseUnavailableError, match="is closed to the user"):
        default_server(closed / "data").ensure_running()
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root_only
def test_programs_that_the_server_s_user_cannot_run_are_copied_once(home: Path) -> None:
    account = server_account()
    assert account is not None
    installed = bundled()
    package = installed.folder.parent
    closed = home / "closed"
    shutil.copytree(installed.folder, closed / package.name / installed.folder.name)
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    closed.chmod(0o700)

    unreadable = Binaries(closed / package.name / installed.folder.name, installed.major)

    copy = usable_by(account, unreadable, home / "copies")

    assert copy.folder.is_relative_to(home / "copies")
    assert run_as(account, copy.program("initdb"), "--version").returncode == 0
    assert _as_stranger(lambda: copy.program("psql").write_bytes(b"")) == "PermissionError"
    made = copy.folder.stat().st_ctime_ns
    again = usable_by(account, unreadable, home / "copies")
    assert (again, copy.folder.stat().st_ctime_ns) == (copy, made)


@as_root_only
def test_it_runs_as_nobody_where_there_is_no_postgres_user(home: Path) -> None:
    entry = pwd.getpwnam("nobody")
    server = EmbeddedPostgres(Cluster(home / "postgres", Account("nobody", entry.pw_uid, entry.pw_gid)))
    assert _value(server.ensure_running(), "SELECT 1") == 1
    server.stop()


def test_a_new_folder_never_has_other_rights_for_an_instant(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    chmod = Path.chmod

    def watched(path: Path, mode: int) -> None:
        seen.append((home / "new").exists())
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", watched)
    make_folder(home / "new", 0o711)
    make_folder(home / "new", 0o700)  # an existing one stays as it is
    assert seen == [False]
    assert (home / "new").stat().st_mode & 0o777 == 0o711
    assert list(home.iterdir()) == [home / "new"]


def _value(url: str, script: str) -> object:
    """The value of a script's last statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(script)
        while cursor.nextset():
            pass
        row = cursor.fetchone()
    return row[0] if row else None


def _pid(server: EmbeddedPostgres) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def _python(code: str, *arguments: Path) -> subprocess.Popen[bytes]:
    """A process of its own process group that runs this code."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def _as_stranger(act: Callable[[], object]) -> str:
    """The class of the error that `act` meets as another user, or "nothing"; as root only."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            act()
            os.write(write, b"nothing")
        except BaseException as error:
            os.write(write, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as answer:
        return answer.read()


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
