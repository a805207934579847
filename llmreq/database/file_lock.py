"""Advisory locks of the operating system on files.

The kernel frees them when the last holder dies, kill -9 included, so none is ever left behind. `flock`, not
POSIX `lockf`: the lock belongs to the open file, so a child that inherits the descriptor holds it too.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmreq.errors import DatabaseUnavailableError

POLL_SECONDS = 0.02
"""How often a lock that another process holds is asked for again: flock itself knows no time-out."""


def try_lock(path: Path) -> int | None:
    """An open descriptor that holds the lock on `path` until it is closed; None while another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock on `path`."""
    if not path.exists():
        return False
    descriptor = try_lock(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


@contextmanager
def exclusive(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock on `path`; DatabaseUnavailableError when another process keeps it past the time-out."""
    deadline = time.monotonic() + timeout_seconds
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise DatabaseUnavailableError(f"another process has held {path} for {timeout_seconds:.0f} s")
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)
