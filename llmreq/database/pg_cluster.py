"""One PostgreSQL cluster on disk and its server process: make it, launch it, shut it down.

Layout of its folder (0700; root's is 0711 and its own, with only `data` and `run` of the server's user):

    start.lock   held by whoever is starting or stopping the server
    alive.lock   held by the server: its starter takes it, every server process inherits it
    data/        the cluster, renamed into place once initdb has finished
    run/         the unix socket, the only way in: no TCP, and no other user may enter this folder
    server.log   binaries/ (root only: see pg_binaries.py)

Whether a server lives is asked of `alive.lock`, never of postmaster.pid: the kernel frees the lock when the
last process of a killed server is gone; a process id may be a zombie's or, after a reboot, a stranger's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from llmreq.database.pg_account import Account, is_reachable, make_folder, run_as, server_account
from llmreq.database.pg_binaries import Binaries, bundled, usable_by
from llmreq.database.pg_settings import CLUSTER_SETTINGS
from llmreq.errors import DatabaseUnavailableError
from llmreq.limits import DATABASE_STOP_SECONDS, SERVER_LOG_BYTES

SUPERUSER = "postgres"

_SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 103
"""The shortest limit of the systems we run on (macOS; Linux has 107)."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster in `folder`, whose server runs as `account` when root starts it (None: as ourselves).

    `settings` go to postgresql.conf once, when the cluster is made.
    """

    folder: Path
    account: Account | None = field(default_factory=server_account)
    settings: Mapping[str, str] = field(default_factory=lambda: CLUSTER_SETTINGS)

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "server.log"

    @property
    def start_lock(self) -> Path:
        """To be held exclusively around create, launch and shut_down."""
        return self.folder / "start.lock"

    @property
    def alive_lock(self) -> Path:
        """Held as long as any process of the server, or an initdb, lives."""
        return self.folder / "alive.lock"

    @property
    def socket_folder(self) -> Path:
        """`run/`, or a short folder when that path is too long for a socket; the same in every process."""
        folder = self.folder / "run"
        if len(os.fsencode(folder / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES:
            return folder
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return Path("/tmp") / f"llmreq-{os.geteuid()}-{digest}"  # noqa: S108  $TMPDIR differs by process

    def is_private(self) -> bool:
        """Whether the socket's folder is the server's user's alone: one in /tmp may be somebody's trap."""
        try:
            found = self.socket_folder.lstat()
        except OSError:
            return False
        owner = self.account.uid if self.account else os.geteuid()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077

    def make_folder(self) -> None:
        """Make the folder itself, in which the locks are."""
        for folder in (self.folder.parent, self.folder):
            make_folder(folder, 0o711 if self.account else 0o700)

    def prepare(self) -> None:
        """Make the socket's folder. DatabaseUnavailableError when the server's user could not work here."""
        make_folder(self.socket_folder, 0o700, self.account)
        if not self.is_private():
            raise DatabaseUnavailableError(
                f"{self.socket_folder} is not ours alone: remove it, or name another LLMREQ_DATA_DIR"
            )
        if self.account and not is_reachable(self.account, self.folder):
            raise DatabaseUnavailableError(
                f"{self.folder} is closed to the user {self.account.name!r}, as whom root runs the embedded"
                " Postgres: name a folder that it can enter in LLMREQ_DATA_DIR"
            )

    def create(self, alive: int) -> None:
        """Run initdb unless the cluster exists; `alive` is the held lock. A half-made one is thrown away."""
        if self.data.exists():
            return
        part = self.folder / "data.part"
        if part.exists():
            shutil.rmtree(part)
        make_folder(part, 0o700, self.account)
        made = run_as(
            self.account,
            self._program("initdb"),
            *("-D", part, "-U", SUPERUSER, "-E", "UTF8", "--no-instructions"),
            # Safe because nobody else can enter the socket's folder, and there is no TCP.
            *("-A", "trust"),
            # Needs no locale of the system.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(f"--set={name}={value}" for name, value in self.settings.items()),
            # An initdb that outlives its starter keeps the lock until it has ended.
            pass_fds=[alive],
        )
        if made.returncode != 0:
            lines = made.stdout.decode(errors="replace").strip().splitlines()
            told = [line for line in lines if "error:" in line or "FATAL:" in line] or lines[-1:]
            raise DatabaseUnavailableError(f"initdb failed in {self.folder}: {' '.join(told)}")
        part.rename(self.data)

    def launch(self, alive: int) -> None:
        """Start the postmaster, to which the lock `alive` passes on; it need not answer yet.

        It gets a session of its own: neither Ctrl-C nor the end of the starter reaches it.
        """
        # Nobody holds alive.lock: a recorded pid is a zombie's or a stranger's. Postgres takes no notice of
        # a pid that it is told is its grandparent's, and still checks that the shared memory is unused.
        stale = self.recorded_pid()
        with self._open_log() as log:
            # By way of a shell that ends at once: the server is nobody's child, so it leaves no zombie here.
            run_as(
                self.account,
                *("/bin/sh", "-c", '"$@" &', "sh"),
                *(
                    self._program("postgres"),
                    "-D",
                    self.data,
                    "-k",
                    self.socket_folder,
                    "-p",
                    "5432",
                    "-h",
                    "",
                ),
                *("-c", "unix_socket_permissions=0700"),
                environment={"PG_GRANDPARENT_PID": str(stale)} if stale else {},
                output=log.fileno(),
                pass_fds=[alive],
                new_session=True,
            )

    def shut_down(self) -> str:
        """Ask the server to end its sessions and stop, and wait for it; returns the last line pg_ctl said."""
        # pg_ctl as the server's user, not a signal by root: that user may write any pid into the pid file.
        said = run_as(
            self.account,
            self._program("pg_ctl"),
            *("stop", "-D", self.data, "-m", "fast", "-t", f"{DATABASE_STOP_SECONDS:.0f}"),
        )
        return said.stdout.decode(errors="replace").strip().rpartition("\n")[2]

    def recorded_pid(self) -> int | None:
        """What postmaster.pid says: the postmaster's pid if it runs, nothing to rely on if it does not."""
        try:
            return int((self.data / "postmaster.pid").read_text().partition("\n")[0])
        except (FileNotFoundError, ValueError):
            return None

    def last_words(self) -> str:
        """The log's last line that names a fatal error, else its last line."""
        lines = self.log.read_text(errors="replace").splitlines()[-50:] if self.log.exists() else []
        told = [line for line in lines if "FATAL:" in line or "PANIC:" in line] or lines
        return f"{told[-1] if told else 'no log'} (see {self.log})"

    def _program(self, name: str) -> Path:
        return self._binaries().program(name)

    def _binaries(self) -> Binaries:
        made_by = self.data / "PG_VERSION"
        found = bundled(int(made_by.read_text()) if made_by.exists() else None)
        return usable_by(self.account, found, self.folder / "binaries")

    def _open_log(self) -> IO[bytes]:
        if self.log.exists() and self.log.stat().st_size > SERVER_LOG_BYTES:
            self.log.rename(self.log.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.fdopen(os.open(self.log, flags, 0o600), "wb")
