"""A worker: its parts, their order of start and stop, and when it ends.

heart (thread) – registers and keeps the lease
claimer → caller → settler – the way of every request
doorbell – hears of new work between polls, where there is one
keeper – chores for the whole fleet
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from llmreq import __version__
from llmreq.settings import Settings
from llmreq.wire.provider import Provider
from llmreq.worker import engine
from llmreq.worker.caller import Caller
from llmreq.worker.claimer import Claimer
from llmreq.worker.document import LOCAL_PAGES
from llmreq.worker.doorbell import Doorbell
from llmreq.worker.heart import Heart, Identity
from llmreq.worker.keeper import Keeper
from llmreq.worker.link import Link
from llmreq.worker.local import LOCAL_RULES
from llmreq.worker.replay import Replay
from llmreq.worker.report import Report
from llmreq.worker.sender import Sender, open_sender
from llmreq.worker.settler import Settler
from llmreq.worker.spool import Spool

log = structlog.get_logger()

DRAIN_LOOK_SECONDS = 0.25
"""How often an idle draining worker looks whether anything is left."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker ended: requests nobody can move now, and reports left on disk."""

    stuck: int = 0
    spooled: int = 0


async def run_worker(
    settings: Settings,
    url: Callable[[], str],
    providers: Mapping[str, Provider],
    unusable: Mapping[str, str],
    *,
    drain: bool,
) -> Ending:
    """Work until SIGTERM or SIGINT or, with `drain`, until nothing is left that can move.

    `url` is asked whenever a connection is opened.
    """
    worker = _Worker(settings, url, providers, unusable)
    return await worker.run(drain=drain)


class _Worker:
    def __init__(
        self,
        settings: Settings,
        url: Callable[[], str],
        providers: Mapping[str, Provider],
        unusable: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._url = url
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._sender: Sender = open_sender()
        self._caller = Caller(self._sender, providers, self._call_done)
        self._heart = Heart(
            url,
            Identity(
                name=f"{socket.gethostname()}:{os.getpid()}",
                version=__version__,
                providers=[*providers, LOCAL_RULES, LOCAL_PAGES],
                unusable=dict(unusable),
                concurrency=settings.concurrency,
                lease_seconds=settings.lease_seconds,
            ),
            in_flight=lambda: self._caller.in_flight,
            on_cancelled=self._on_cancelled,
            on_fenced=self._on_fenced,
        )
        worker_id = partial(getattr, self._heart, "worker_id")
        self._settler = Settler(Link(url, "llmreq settler"), worker_id, settings.flush_ms / 1000)
        self._spool = Spool(settings.data_dir / "spool")
        self._replay = Replay(Link(url, "llmreq replay"), self._spool, self._settler)
        self._claimer = Claimer(
            Link(url, "llmreq claimer"),
            worker_id,
            self._caller,
            self._settler,
            settings.poll_ms / 1000,
            settings.batch_size,
            settings.concurrency,
            may_claim=lambda: not self._settler.is_behind,
        )
        self._doorbell = Doorbell(Link(url, "llmreq doorbell"), self._claimer.ring)
        self._claimer.tells_idle = partial(getattr, self._doorbell, "present")
        self._keeper = Keeper(Link(url, "llmreq keeper"), settings.lease_seconds, settings.retention_days)

    async def run(self, *, drain: bool) -> Ending:
        self._listen_to_signals()
        await asyncio.to_thread(self._heart.start)
        self._settler.start()
        self._replay.start()
        self._claimer.start()
        self._doorbell.start()
        self._keeper.start()
        stuck = 0
        try:
            if drain:
                stuck = await self._until_drained()
            else:
                await self._stopping.wait()
        finally:
            spooled = await self._end()
        return Ending(stuck, spooled)

    async def _end(self) -> int:
        """Stop claiming, let calls end, hand the rest back uncharged, settle, and only then give up the lease."""
        self._heart.state = "draining"
        await self._doorbell.stop()
        await self._claimer.stop()
        if self._caller.in_flight:
            log.info(
                "draining", in_flight=self._caller.in_flight, patience_seconds=self._settings.drain_seconds
            )
            await self._calls_end()
        await self._keeper.stop()
        await self._replay.stop()
        left = await self._settler.stop(patience_seconds=10.0)
        path = self._spool.write(left)
        await asyncio.to_thread(self._heart.stop)
        await self._caller.checking.close()
        await self._sender.close()
        return len(left) if path else 0

    async def _calls_end(self) -> None:
        idle = asyncio.create_task(self._caller.idle(), name="drain")
        hurry = asyncio.create_task(self._hurry.wait(), name="hurry")
        await asyncio.wait(
            (idle, hurry), timeout=self._settings.drain_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        hurry.cancel()
        if not idle.done():
            self._caller.release_all()
        await idle

    async def _until_drained(self) -> int:
        """Returns how many requests are stuck: pending, and nobody running can move them."""
        link = Link(self._url, "llmreq drain")
        try:
            while not self._stopping.is_set():
                if (
                    self._replay.is_over
                    and self._claimer.idle
                    and not self._caller.in_flight
                    and self._settler.is_settled
                ):
                    refused = self._settler.refused  # these run until somebody lets them end
                    left = await self._look(link)
                    if left is not None and left.running <= refused and not left.movable:
                        return left.stuck + refused
                await _wait(self._stopping, DRAIN_LOOK_SECONDS)
            return 0
        finally:
            await link.close()

    async def _look(self, link: Link) -> engine.Left | None:
        try:
            async with link.use() as connection:
                await engine.housekeep(connection, "explain_waiting")  # reroute and refuse first, then count
                return await engine.left(connection)
        except Exception as error:
            log.warning("drain_look_failed", error=str(error).splitlines()[0])
            return None

    def _call_done(self, done: Report) -> None:
        self._settler.put(done)
        self._claimer.slot_freed()

    # The heart's thread calls these two: they only hand over.
    def _on_cancelled(self, ids: list[UUID]) -> None:
        self._loop.call_soon_threadsafe(self._caller.cancel, ids)

    def _on_fenced(self, _worker_id: int) -> None:
        self._loop.call_soon_threadsafe(self._caller.drop_all)

    def _listen_to_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        """First: drain. Second: hand everything back now."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
