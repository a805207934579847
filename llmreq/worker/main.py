"""A worker: its parts, their order of start and stop, and when it ends.

heart (thread) – registers and keeps the lease
claimer → caller → settler – the way of every request
doorbell – hears of new work between polls, where there is one
keeper – chores for the whole fleet
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from uuid import UUID

import structlog

from llmreq import __version__
from llmreq.limits import (
    CLAIM_SILENCE_SECONDS,
    CLAIM_STOP_SECONDS,
    DRAIN_LOOK_SILENCE_SECONDS,
    HURRIED_SETTLE_SECONDS,
    REPLAY_GRACE_SECONDS,
    SETTLE_SILENCE_SECONDS,
    SETTLE_STOP_SECONDS,
)
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
from llmreq.worker.loop import RepeatedErrors
from llmreq.worker.replay import Replay
from llmreq.worker.report import Report
from llmreq.worker.sender import Sender, open_sender
from llmreq.worker.settler import Settler
from llmreq.worker.shutdown import Shutdown
from llmreq.worker.spool import Spool

log = structlog.get_logger()

DRAIN_LOOK_SECONDS = 0.25
"""How often an idle draining worker looks whether anything is left."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker ended: requests nobody can move now, reports left on disk, and how it was told to go."""

    stuck: int = 0
    spooled: int = 0
    hurried: bool = False
    exit_code: int = 0


async def run_worker(
    settings: Settings,
    url: Callable[[], str],
    providers: Mapping[str, Provider],
    unusable: Mapping[str, str],
    *,
    drain: bool,
    parent_pipe: int | None = None,
) -> Ending:
    """Work until SIGTERM or SIGINT or, with `drain`, until nothing is left that can move.

    `url` is asked whenever a connection is opened. `parent_pipe`: its end means that the parent is gone, and this worker
    goes too.
    """
    worker = _Worker(settings, url, providers, unusable)
    return await worker.run(drain=drain, parent_pipe=parent_pipe)


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
        self._shutdown = Shutdown(self._kill)
        self._started_at = monotonic()
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
            on_back=self._on_back,
        )
        worker_id = partial(getattr, self._heart, "worker_id")
        self._settler = Settler(
            Link(url, "llmreq settler", silence_seconds=SETTLE_SILENCE_SECONDS),
            worker_id,
            settings.flush_ms / 1000,
        )
        self._spool = Spool(settings.data_dir / "spool")
        self._replay = Replay(Link(url, "llmreq replay"), self._spool, self._settler)
        self._claimer = Claimer(
            Link(url, "llmreq claimer", silence_seconds=CLAIM_SILENCE_SECONDS),
            worker_id,
            self._caller,
            self._settler,
            settings.poll_ms / 1000,
            settings.batch_size,
            settings.concurrency,
            may_claim=lambda: self._heart.is_fresh and not self._settler.is_behind,
        )
        self._doorbell = Doorbell(Link(url, "llmreq doorbell"), self._claimer.ring)
        self._claimer.tells_idle = partial(getattr, self._doorbell, "present")
        self._keeper = Keeper(
            Link(url, "llmreq chores"),
            Link(url, "llmreq slow chores"),
            settings.lease_seconds,
            settings.retention_days,
            self._may_run,
        )

    async def run(self, *, drain: bool, parent_pipe: int | None) -> Ending:
        self._shutdown.listen(parent_pipe)
        await self._heart.start()
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
                await self._shutdown.asked.wait()
        finally:
            spooled = await self._end()
        return Ending(stuck, spooled, self._shutdown.hurried.is_set(), self._shutdown.exit_code)

    def _may_run(self, chore: str) -> bool:
        """After an outage: first the heartbeat, then the outcomes that waited, then rescue, then claims.

        Who has not beaten itself does not know who is dead. A worker's first rescue also leaves the spool's outcomes their
        turn: the calls they tell of would be made again.
        """
        if chore in ("rescue", "sweep_orphans") and self._settler.is_behind:
            return self._heart.is_fresh and monotonic() - self._started_at > REPLAY_GRACE_SECONDS
        return self._heart.is_fresh

    async def _end(self) -> int:
        """Stop claiming, let calls end, hand the rest back uncharged, settle or spool, and only then give up the lease.

        Each step has its time, whatever Postgres does: `drain_seconds` and some 15 s at most (invariant 11).
        """
        step, patience = self._shutdown.step, self._settings.drain_seconds
        drain_ends = monotonic() + patience
        log.info("draining", in_flight=self._caller.in_flight, patience_seconds=patience)
        self._heart.state = "draining"
        await asyncio.gather(
            step("claimer", self._claimer.stop(), min(CLAIM_STOP_SECONDS, max(1.0, patience))),
            step("doorbell", self._doorbell.stop()),
            step("chores", self._keeper.stop()),
            step("replay", self._replay.stop()),
        )
        if not await self._shutdown.wait(self._caller.idle(), max(0.0, drain_ends - monotonic())):
            self._caller.release_all()
            await step("calls", self._caller.idle())
        await self._shutdown.wait(
            self._settler.settled(), min(SETTLE_STOP_SECONDS, max(1.0, patience)), HURRIED_SETTLE_SECONDS
        )
        await step("settler", self._settler.stop(patience_seconds=0))
        spooled = self._spool_left()
        await asyncio.gather(
            step("heart", self._heart.stop()),
            step("checking", self._caller.checking.close()),
            step("sender", self._sender.close()),
        )
        return spooled

    def _spool_left(self) -> int:
        """How many outcomes went to disk, because Postgres did not take them in time."""
        left = self._settler.unsettled
        return len(left) if self._spool.write(left) else 0

    def _kill(self) -> None:
        """Told a third time: keep what was paid for, and be gone."""
        self._spool_left()
        os._exit(1)

    async def _until_drained(self) -> int:
        """Returns how many requests are stuck: pending, and nobody running can move them."""
        link = Link(self._url, "llmreq drain", silence_seconds=DRAIN_LOOK_SILENCE_SECONDS)
        errors = RepeatedErrors("drain_look_failed")
        try:
            while not self._shutdown.asked.is_set():
                if (
                    self._replay.is_over
                    and self._claimer.idle
                    and not self._caller.in_flight
                    and self._settler.is_settled
                ):
                    refused = self._settler.refused  # these run until somebody lets them end
                    left = await self._look(link, errors)
                    if left is not None and left.running <= refused and not left.movable:
                        return left.stuck + refused
                await self._shutdown.wait(self._shutdown.asked.wait(), DRAIN_LOOK_SECONDS)
            return 0
        finally:
            await link.close()

    async def _look(self, link: Link, errors: RepeatedErrors) -> engine.Left | None:
        try:
            async with link.use() as connection:
                await engine.housekeep(connection, "explain_waiting")  # reroute and refuse first, then count
        except Exception as error:
            errors.add(error)  # a chore that fails does not keep us from counting
        try:
            async with link.use() as connection:
                return await engine.left(connection)
        except Exception as error:
            errors.add(error)
            return None

    def _call_done(self, done: Report) -> None:
        self._settler.put(done)
        self._claimer.slot_freed()

    # The heart's thread calls these three: they only hand over.
    def _on_cancelled(self, ids: list[UUID]) -> None:
        self._loop.call_soon_threadsafe(self._caller.cancel, ids)

    def _on_fenced(self, _worker_id: int) -> None:
        self._loop.call_soon_threadsafe(self._caller.drop_all)

    def _on_back(self) -> None:
        self._loop.call_soon_threadsafe(self._try_again)

    def _try_again(self) -> None:
        """Postgres took a heartbeat after one that failed: what waits for the others' pauses need not."""
        self._settler.retry()
        self._claimer.ring()
        self._keeper.retry()
