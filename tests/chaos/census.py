"""Which processes there were: what each worker's row was called, and who the children of a process are."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg

LOOK_SECONDS = 0.2


class Census:
    """Reads llm_workers all the time: a dead worker's row goes away, and its calls stay in the ledger."""

    def __init__(self, url: str) -> None:
        self.pids: dict[int, int] = {}
        """Of each worker row that was ever seen, the process."""
        self._url = url
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="census", daemon=True)

    def __enter__(self) -> Census:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._enough.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._enough.wait(LOOK_SECONDS):
            try:
                self._read()
            except psycopg.Error:
                continue  # the server is away

    def _read(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._enough.wait(LOOK_SECONDS):
                for id, name in connection.execute("SELECT id, name FROM llm_workers").fetchall():
                    self.pids[id] = int(name.rpartition(":")[2])


def children_of(pid: int) -> list[int]:
    """The processes whose parent this is."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _parent_of(folder) == pid:
            found.append(int(folder.name))
    return found


def is_running(pid: int) -> bool:
    """Whether there is such a process, and not only its remains."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _parent_of(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
