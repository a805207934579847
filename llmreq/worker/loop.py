"""The one shape of every background loop: start, stop, and a private turn that is repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from llmreq.worker.describe import describe as describe

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
"""Pause after a turn that failed, doubled each time: a database that restarts is met again within moments."""


class Loop:
    """Repeats `turn` until stopped. A turn returns how many seconds to rest; `wake` cuts a rest short.

    An error is logged and the loop goes on after a growing pause: a worker does not end because Postgres restarts
    (invariant 8). Cancellation ends it.
    """

    def __init__(self, name: str, turn: Callable[[], Awaitable[float]]) -> None:
        self._name = name
        self._turn = turn
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin in the running event loop."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """End the present rest now."""
        self._wake.set()

    async def stop(self) -> None:
        """Let the present turn end, then return."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        pause = 0.0
        while not self._stopping:
            self._wake.clear()
            try:
                rest = await self._turn()
                pause = 0.0
            except asyncio.CancelledError:
                raise
            except Exception as error:
                pause = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, pause * 2))
                rest = pause
                log.warning(
                    "loop_error", loop=self._name, error=describe(error), again_in_seconds=round(pause, 1)
                )
            if rest > 0 and not self._stopping:
                await self._rest(rest)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
