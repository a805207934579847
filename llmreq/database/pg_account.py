"""Whom the embedded server runs as: Postgres refuses to be root, so for root it is an unprivileged user.

No user is ever added and no folder that is not ours is ever opened up.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmreq.errors import DatabaseUnavailableError

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged system user."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """The user a server started by root runs as; None when we are no root and it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise DatabaseUnavailableError(
        "Postgres does not run as root and this system has no user 'postgres' or 'nobody':"
        " run llmreq as a plain user, or set LLMREQ_DATABASE_URL"
    )


def run_as(
    account: Account | None,
    program: str | Path,
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    output: int = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
    new_session: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end as that user, in `/`, with an environment free of PG*, LC_* and LD_*.

    `stdout` and `stderr` go together to `output`. Raises OSError when the user may not execute it.
    """
    path = os.environ.get("PATH", os.defpath)
    return subprocess.run(  # noqa: S603
        [str(program), *map(str, arguments)],
        env={"PATH": path, "LC_ALL": "C", **(environment or {})},
        # The starter's own folder may be closed to that user.
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output == subprocess.PIPE else output,
        pass_fds=pass_fds,
        start_new_session=new_session,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        check=False,
    )


def make_folder(path: Path, mode: int, owner: Account | None = None) -> None:
    """Make a folder of ours that has its owner and rights from the first moment; an existing one stays."""
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    if owner is not None:
        os.chown(part, owner.uid, owner.gid)
    part.chmod(mode)
    try:
        part.rename(path)
    except OSError:
        part.rmdir()
        # Another process may have made it, and put something in, in the meantime.
        if not path.is_dir():
            raise


def is_reachable(account: Account | None, folder: Path) -> bool:
    """Whether that user can enter the folder."""
    if account is None:
        return True
    return run_as(account, "/bin/sh", "-c", 'cd "$1"', "sh", folder).returncode == 0
