"""The worker's lease: a thread of its own with a connection of its own.

A thread, so that a stalled event loop neither looks like death nor hides it; a lease per worker, not per request, so
that ten thousand calls in flight cost one small update every few seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import structlog

from llmreq.database.connection import connect
from llmreq.worker import engine
from llmreq.worker.loop import describe

log = structlog.get_logger()

BEAT_SECONDS = 0.4
"""How often cancellations are asked for; the SQL function writes the row only every sixth of a lease."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a worker says of itself when it registers."""

    name: str
    version: str
    providers: Sequence[str]
    unusable: dict[str, str]
    concurrency: int
    lease_seconds: float


class Heart:
    """Registers, beats and retires. Callbacks run on the heart's thread: they must only hand over to the event loop."""

    def __init__(
        self,
        url: Callable[[], str],
        identity: Identity,
        *,
        in_flight: Callable[[], int],
        on_cancelled: Callable[[list[UUID]], None],
        on_fenced: Callable[[int], None],
    ) -> None:
        self._url = url
        self._identity = identity
        self._in_flight = in_flight
        self._on_cancelled = on_cancelled
        self._on_fenced = on_fenced
        self._connection: psycopg.Connection[Any] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="llmreq-heart", daemon=True)
        self.worker_id = 0
        self.state = "alive"

    def start(self) -> None:
        """Register, then beat. Raises DatabaseUnavailableError when the database cannot be reached."""
        self._register()
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and retire the worker's row, if the database is there."""
        self._stop.set()
        self._thread.join()
        try:
            engine.retire(self._open(), self.worker_id)
        except Exception as error:
            log.warning("retire_failed", worker_id=self.worker_id, error=describe(error))
        self._close()

    def _run(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self._beat()
            except Exception as error:
                log.warning("heartbeat_failed", worker_id=self.worker_id, error=describe(error))
                self._close()

    def _beat(self) -> None:
        alive, cancelled = engine.heartbeat(self._open(), self.worker_id, self._in_flight(), self.state)
        if cancelled:
            self._on_cancelled(cancelled)
        if not alive and self.state == "alive":
            # Declared dead: its requests may be running elsewhere. Fence first, then come back as somebody else.
            fenced = self.worker_id
            log.warning("worker_fenced", worker_id=fenced)
            self._on_fenced(fenced)
            self._register()

    def _register(self) -> None:
        who = self._identity
        self.worker_id = engine.register(
            self._open(),
            name=who.name,
            version=who.version,
            providers=who.providers,
            unusable=who.unusable,
            concurrency=who.concurrency,
            lease_seconds=who.lease_seconds,
        )
        log.info("worker_registered", worker_id=self.worker_id, name=who.name, providers=list(who.providers))

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url(), application_name="llmreq heart")
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
