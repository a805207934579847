"""Books what earlier workers left in the spool, beside claiming and through the completer's own isolation.

A line that is no report, or that Postgres refuses even without its answer, is set aside and told of; the file goes on.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import structlog

from llmreq.database.statements import statement
from llmreq.limits import (
    REPLAY_HEAD_START_SECONDS,
    REPLAY_LOOK_SECONDS,
    REPLAY_PATIENCE_SECONDS,
    REPLAY_WINDOW,
    REPLAY_WINDOW_BYTES,
    STRAY_IDS_ASKED,
)
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop
from llmreq.worker.settler import Fate, Settler
from llmreq.worker.spool import LineError, Spool, SpoolFile, decode

log = structlog.get_logger()

Connection = psycopg.AsyncConnection[Any]


@dataclass
class Replay:
    """Looks into the spool at its start and every minute: a worker beside this one may leave a file, too.

    `is_over`: what lay there at the start is settled or set aside.
    """

    link: Link
    spool: Spool
    settler: Settler
    is_over: bool = False
    _foreign: set[Path] = field(default_factory=set)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._loop = Loop("replay", self._turn)

    def start(self) -> None:
        """Begin. The completer counts as behind until what lies there is settled, for a few seconds at most."""
        if self.spool.is_used:
            self.settler.give_head_start(REPLAY_HEAD_START_SECONDS)
        self._loop.start()

    async def stop(self) -> None:
        """Leave what is not settled yet in its file."""
        self._stopped.set()
        await self._loop.stop()
        await self.link.close()

    async def _turn(self) -> float:
        stopped = asyncio.create_task(self._stopped.wait(), name="replay stopped")
        try:
            await self._identify()
            for path in self.spool.paths():
                await self._replay(path, stopped)
        except _StoppedError:
            pass
        finally:
            stopped.cancel()
        self.is_over = True
        self.settler.give_head_start(0)
        await self.link.close()  # a connection is dear, and a minute long
        return REPLAY_LOOK_SECONDS

    async def _identify(self) -> None:
        """Learn which database this is, and which of the files that name none are of it."""
        async with self.link.use() as connection:
            if self.spool.database_id is None:
                self.spool.database_id = await _database_id(connection)
            for stray in self.spool.strays():
                if (ids := _ids(stray)) and await _knows_any(connection, ids):
                    self.spool.adopt(stray)
                elif stray not in self._foreign:
                    self._foreign.add(stray)
                    log.warning("spool_of_unknown_database", path=str(stray))

    async def _replay(self, path: Path, stopped: asyncio.Task[bool]) -> None:
        try:
            file = SpoolFile.open(path)
            if file is not None:
                with file:
                    await self._feed(file, stopped)
        except _StalledError:
            log.warning("spool_file_waits", path=str(path))
        except OSError as error:  # this file's own trouble: it stays, and holds up no other
            log.error("spool_file_failed", path=str(path), error=error.strerror)

    async def _feed(self, file: SpoolFile, stopped: asyncio.Task[bool]) -> None:
        window = _Window()
        for line in file.lines():
            try:
                window.add(self.settler.book(decode(line)), line)
            except LineError:
                file.reject(line)
            await asyncio.sleep(0)  # a file of large answers stalls no call
            while window.is_full:
                await _collect(file, window, stopped)
        while window.lines:
            await _collect(file, window, stopped)
        aside = file.finish()
        log.info("spool_replayed", path=str(file.path), lines=file.count)
        if aside is not None:
            log.error("spool_lines_rejected", path=str(aside), count=file.rejected)


class _StoppedError(Exception):
    """The worker ends: what is not settled stays in its file."""


class _StalledError(Exception):
    """What is left waits for somebody's lock: the file comes again with the next look, and holds up no other."""


@dataclass
class _Window:
    """Lines in the completer's hands."""

    lines: dict[asyncio.Future[Fate], bytes] = field(default_factory=dict)
    size_bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.lines) >= REPLAY_WINDOW or self.size_bytes >= REPLAY_WINDOW_BYTES

    def add(self, fate: asyncio.Future[Fate], line: bytes) -> None:
        self.size_bytes += len(line) - len(self.lines.get(fate, b""))
        self.lines[fate] = line

    def take_settled(self) -> list[tuple[Fate, bytes]]:
        settled = [(fate.result(), self.lines.pop(fate)) for fate in list(self.lines) if fate.done()]
        self.size_bytes -= sum(len(line) for _, line in settled)
        return settled


async def _collect(file: SpoolFile, window: _Window, stopped: asyncio.Task[bool]) -> None:
    """Wait until something of the window is settled."""
    waited: list[asyncio.Future[Any]] = [stopped, *window.lines]
    done, _ = await asyncio.wait(waited, timeout=REPLAY_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if stopped.done():
        raise _StoppedError
    if not done:
        raise _StalledError
    for fate, line in window.take_settled():
        if fate is Fate.REFUSED:
            file.reject(line)


async def _database_id(connection: Connection) -> UUID:
    """Which database this is; made at the first question."""
    while True:
        row = await (await connection.execute(statement("database_id"))).fetchone()
        if row is not None:  # else another session is making it at this moment
            return UUID(row[0])


async def _knows_any(connection: Connection, ids: list[UUID]) -> bool:
    """Whether one of these requests at least is in this database."""
    cursor = await connection.execute(statement("any_known_request"), {"ids": ids})
    return await cursor.fetchone() is not None


def _ids(stray: Path) -> list[UUID]:
    """The requests that a file's first lines are of; none when another process has it in hand."""
    found: list[UUID] = []
    with suppress(OSError):
        file = SpoolFile.open(stray)
        if file is not None:
            with file:
                for line in islice(file.lines(), STRAY_IDS_ASKED):
                    with suppress(LineError):
                        found.append(decode(line).id)
    return found
