"""The one shape of every background loop: start, stop, and a private turn that is repeated."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import structlog

from llmreq.limits import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STOP_STEP_SECONDS
from llmreq.worker.describe import describe as describe

log = structlog.get_logger()


class Loop:
    """Repeats `turn` until stopped. A turn returns how many seconds to rest; `wake` cuts a rest short.

    An error is logged and the loop goes on after a growing pause: a worker does not end because Postgres restarts
    (invariant 8), and no loop waits for another one's errors (invariant 11). Cancellation ends it.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], Awaitable[float]],
        *,
        longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        self._name = name
        self._turn = turn
        self._longest_pause_seconds = longest_pause_seconds
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._errors = RepeatedErrors("loop_error", loop=name)

    def start(self) -> None:
        """Begin in the running event loop."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """End the present rest now."""
        self._wake.set()

    def retry(self) -> None:
        """What made the last turn fail may be over: end the pause after it, if it failed."""
        if self._errors.last:
            self._wake.set()

    async def stop(self, *, patience_seconds: float = STOP_STEP_SECONDS) -> None:
        """Begin no other turn, let the present one end, and cut it when that takes too long (invariant 11)."""
        self._stopping = True
        self._wake.set()
        if self._task is None:
            return
        try:
            await asyncio.wait((self._task,), timeout=patience_seconds)
        finally:
            self._task.cancel()  # nothing happens to one that has ended; cancelled ourselves, we cut it at once
        await asyncio.wait((self._task,), timeout=STOP_STEP_SECONDS)

    async def _run(self) -> None:
        pause = 0.0
        while not self._stopping:
            self._wake.clear()
            try:
                rest = await self._turn()
                pause = 0.0
                self._errors.over()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                pause = min(self._longest_pause_seconds, max(FIRST_PAUSE_SECONDS, pause * 2))
                rest = pause
                self._errors.add(error, again_in_seconds=round(pause, 1))
            if rest > 0 and not self._stopping:
                await self._rest(rest)

    async def _rest(self, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()


class RepeatedErrors:
    """Logs an error when it is new, and the same one again at its 10th, 100th, 1,000th time in a row."""

    def __init__(self, event: str, **context: object) -> None:
        self._event = event
        self._context = context
        self.last = ""
        self._times = 0

    def add(self, error: BaseException, **details: object) -> None:
        """One more failure."""
        text = describe(error)
        kind = re.sub(r"\d+", "0", text)  # ids, ports and times differ, the error does not
        self._times = self._times + 1 if kind == self.last else 1
        self.last = kind
        if str(self._times).strip("0") == "1":
            log.warning(self._event, **self._context, error=text, times=self._times, **details)

    def over(self) -> None:
        """It went well."""
        if self._times > 1:
            log.info("recovered", **self._context, failures=self._times)
        self.last, self._times = "", 0
