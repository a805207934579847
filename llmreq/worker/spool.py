"""Reports that Postgres did not take before the worker had to end wait on disk for the next one (invariant 3).

A folder per database, so that no outcome goes to another one:

    spool/DATABASE_ID/FILE.jsonl      one report a line
    spool/DATABASE_ID/FILE.part       still being written, or left by a process that died over it
    spool/DATABASE_ID/FILE.rejected   lines that cannot be booked, kept for a person to look at
    spool/FILE.jsonl                  a stray: written before its database was known, or by an earlier version

Processes may share the folder: whoever writes or replays a file holds the kernel's lock on it, which dies with its holder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID, uuid4

import structlog

from llmreq.database.connection import loads_exactly
from llmreq.limits import MAX_SPOOL_LINE_BYTES, SPOOL_CHUNK_BYTES
from llmreq.worker.report import Report, report

log = structlog.get_logger()


class LineError(ValueError):
    """A spooled line that is no report."""


@dataclass
class Spool:
    """The files of one database. `database_id` is None until the database said it."""

    root: Path
    database_id: UUID | None = None

    @property
    def folder(self) -> Path:
        return self.root if self.database_id is None else self.root / str(self.database_id)

    @property
    def is_used(self) -> bool:
        """Whether anything lies there, of whichever database."""
        return bool(_files(self.root)) or any(_files(each) for each in self.root.glob("*/"))

    def write(self, reports: Sequence[Report]) -> Path | None:
        """Write reports to a new file that only this user can read; None when there is nothing to write, or no way to."""
        if not reports:
            return None
        try:
            return self._write(reports)
        except OSError as error:  # what was written before is recovered from the .part
            log.error(
                "reports_not_spooled", folder=str(self.folder), count=len(reports), error=error.strerror
            )
            return None

    def _write(self, reports: Sequence[Report]) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            part = self.folder / f"{uuid4()}.part"
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                if _lock(file) and _is_at(
                    file, part
                ):  # else somebody took it for a dead process's, and removed it
                    return _write(part, file, reports)

    def paths(self) -> list[Path]:
        """Files of this database; another process may have one in hand."""
        return _files(self.folder)

    def strays(self) -> list[Path]:
        """Files that name no database."""
        return _files(self.root)

    def adopt(self, stray: Path) -> None:
        """This file is of this database."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):  # another process was first
            stray.rename(self.folder / stray.name)


class SpoolFile:
    """One file in our hands. `finish` removes it; whatever is not finished is replayed again, which books nothing twice."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self.count = 0
        self.rejected = 0
        self._file = file
        self._aside_path = path.with_suffix(".rejecting")
        self._aside: IO[bytes] | None = None

    @classmethod
    def open(cls, path: Path) -> SpoolFile | None:
        """None when another process has it in hand, or had it a moment ago."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        if _lock(file) and _is_at(file, path):
            return cls(path, file)
        file.close()
        return None

    def __enter__(self) -> SpoolFile:
        return self

    def __exit__(self, *error: object) -> None:
        if self._aside is not None:
            self._aside.close()
            self._aside_path.unlink(missing_ok=True)  # the next replay sets them aside again
        self._file.close()

    def lines(self) -> Iterator[bytes]:
        """Its lines, one in memory at a time. One that is too long is set aside on the way."""
        while line := self._file.readline(MAX_SPOOL_LINE_BYTES):
            self.count += 1
            if line.endswith(b"\n") or len(line) < MAX_SPOOL_LINE_BYTES:
                yield line.rstrip(b"\n")
            else:
                self._reject_long(line)

    def reject(self, line: bytes) -> None:
        """Keep a line that cannot be booked, out of the way."""
        self.rejected += 1
        self._put_aside(line + b"\n")

    def finish(self) -> Path | None:
        """Every line is settled or set aside: the file goes. Returns where the lines are that were set aside, if any."""
        kept = None
        if self._aside is not None:
            self._aside.flush()
            os.fsync(self._aside.fileno())
            kept = self._aside_path.rename(self.path.with_suffix(".rejected"))
        self.path.unlink()
        return kept

    def _reject_long(self, line: bytes) -> None:
        self.rejected += 1
        while line and not line.endswith(b"\n"):
            self._put_aside(line)
            line = self._file.readline(SPOOL_CHUNK_BYTES)
        self._put_aside(line or b"\n")

    def _put_aside(self, line: bytes) -> None:
        if self._aside is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            self._aside = os.fdopen(os.open(self._aside_path, flags, 0o600), "wb")
        self._aside.write(line)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix in (".part", ".jsonl"))


def decode(line: bytes) -> Report:
    """A spooled line as a report again, storable whatever an earlier version let pass. Raises LineError."""
    try:
        facts: dict[str, Any] = loads_exactly(line)
        claim = (
            UUID(facts.pop("id")),
            int(facts.pop("claim_seq")),
            datetime.fromisoformat(facts.pop("claimed_at")),
        )
        return report(*claim, facts)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise LineError(type(error).__name__) from None


def _write(part: Path, file: IO[bytes], reports: Sequence[Report]) -> Path:
    file.writelines(each.encoded + b"\n" for each in reports)
    file.flush()
    os.fsync(file.fileno())
    path = part.with_suffix(".jsonl")
    part.rename(path)
    log.warning("reports_spooled", path=str(path), count=len(reports))
    return path


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether the file that was opened is still the one of this name: it may have been removed before it was locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
