"""The worker's lease: a thread of its own with an event loop and a connection of its own.

A thread, so that a stalled event loop neither looks like death nor hides it; a lease per worker, not per request, so
that ten thousand calls in flight cost one small update every few seconds.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

import structlog

from llmreq.limits import (
    BEAT_SECONDS,
    FRESH_LEASE_SHARE,
    HEARTBEAT_OPEN_SHARE,
    HEARTBEAT_SILENCE_SHARE,
    STOP_STEP_SECONDS,
)
from llmreq.worker import engine
from llmreq.worker.event_loop import run
from llmreq.worker.link import Link
from llmreq.worker.loop import Loop, describe

log = structlog.get_logger()


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
        on_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = Link(
            url,
            "llmreq heart",
            silence_seconds=identity.lease_seconds * HEARTBEAT_SILENCE_SHARE,
            open_seconds=identity.lease_seconds * HEARTBEAT_OPEN_SHARE,
        )
        self._identity = identity
        self._in_flight = in_flight
        self._on_cancelled = on_cancelled
        self._on_fenced = on_fenced
        self._on_back = on_back
        self._beats = True
        self._thread = threading.Thread(target=lambda: run(self._live()), name="heart", daemon=True)
        self._registered: Future[None] = Future()
        self._retired: Future[None] = Future()
        self._stop: Callable[[], object] = lambda: None
        self._renewed_at = float("-inf")
        self.worker_id = 0
        self.state = "alive"

    @property
    def is_fresh(self) -> bool:
        """Whether the lease was renewed so lately that nobody can have taken this worker for dead."""
        return monotonic() - self._renewed_at <= self._identity.lease_seconds * FRESH_LEASE_SHARE

    async def start(self) -> None:
        """Register, then beat. Raises when the database cannot be reached or is none that a worker can use."""
        self._thread.start()
        await asyncio.wrap_future(self._registered)

    async def stop(self) -> None:
        """Stop beating and retire the worker's row, if the database is there."""
        self._stop()
        await asyncio.wait((asyncio.wrap_future(self._retired),))

    async def _live(self) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self._register()
        except BaseException as error:
            self._registered.set_exception(error)
            return
        finally:
            self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        self._registered.set_result(None)
        beats = Loop("heart", self._beat, longest_pause_seconds=BEAT_SECONDS)
        beats.start()
        await stopped.wait()
        await beats.stop(patience_seconds=0)
        await self._retire()
        self._retired.set_result(None)

    async def _beat(self) -> float:
        beat_before, self._beats = self._beats, False
        asked_at = monotonic()  # the lease runs from some moment after this
        async with self._link.use() as connection:
            alive, cancelled = await engine.heartbeat(
                connection, self.worker_id, self._in_flight(), self.state
            )
        if cancelled:
            self._on_cancelled(cancelled)
        if alive:
            self._renewed_at = asked_at
        elif self.state == "alive":
            # Declared dead: its requests may be running elsewhere. Fence first, then come back as somebody else.
            fenced = self.worker_id
            log.warning("worker_fenced", worker_id=fenced)
            self._on_fenced(fenced)
            await self._register()
        self._beats = True
        if not beat_before:
            self._on_back()
        return BEAT_SECONDS

    async def _register(self) -> None:
        who, asked_at = self._identity, monotonic()
        async with self._link.use() as connection:
            self.worker_id = await engine.register(
                connection,
                name=who.name,
                version=who.version,
                providers=who.providers,
                unusable=who.unusable,
                concurrency=who.concurrency,
                lease_seconds=who.lease_seconds,
            )
        self._renewed_at = asked_at
        log.info("worker_registered", worker_id=self.worker_id, name=who.name, providers=list(who.providers))

    async def _retire(self) -> None:
        try:
            async with asyncio.timeout(STOP_STEP_SECONDS), self._link.use() as connection:
                await engine.retire(connection, self.worker_id)
        except Exception as error:
            log.warning("retire_failed", worker_id=self.worker_id, error=describe(error))
        await self._link.close()
