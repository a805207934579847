"""How a worker is told to stop, and how long each step of stopping may take, whatever Postgres does (invariant 11)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from llmreq.limits import HURRIED_STEP_SECONDS, STOP_STEP_SECONDS
from llmreq.worker.loop import describe

log = structlog.get_logger()


class Shutdown:
    """The first SIGTERM or Ctrl-C asks, the second hurries, the third calls `kill`. A parent that is gone asks as well."""

    def __init__(self, kill: Callable[[], object]) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self.exit_code = 0
        self._kill = kill
        self._signals = 0

    def listen(self, parent_pipe: int | None) -> None:
        """Take signals from now on, and notice when the other end of the pipe is closed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        if parent_pipe is not None:
            loop.add_signal_handler(signal.SIGHUP, self._parent_gone)
            loop.add_reader(parent_pipe, self._on_pipe, parent_pipe)

    async def wait(
        self, work: Coroutine[Any, Any, object], seconds: float, hurried_seconds: float = 0.0
    ) -> bool:
        """Whether the work ended in its time; what did not is cut and left behind. Raises what the work raises."""
        task = asyncio.create_task(work)
        hurry = asyncio.create_task(self.hurried.wait())
        try:
            await asyncio.wait((task, hurry), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if hurry.done() and not task.done():
                await asyncio.wait((task,), timeout=hurried_seconds)
            if task.done():
                task.result()
            return task.done()
        finally:
            hurry.cancel()
            task.cancel()

    async def step(
        self, name: str, work: Coroutine[Any, Any, object], seconds: float = STOP_STEP_SECONDS
    ) -> None:
        """One step of stopping: neither an error nor a wait of it keeps the next one from its turn."""
        try:
            ended = await self.wait(work, seconds, HURRIED_STEP_SECONDS)
        except Exception as error:
            log.warning("stop_step_failed", step=name, error=describe(error))
            return
        if not ended:
            log.warning("stop_step_cut", step=name)

    def _on_signal(self, number: int) -> None:
        self._signals += 1
        if self._signals > 2:
            self._kill()
        if self._signals == 2:
            self.exit_code = int(number == signal.SIGINT)
            self.hurried.set()
        self.asked.set()

    def _on_pipe(self, pipe: int) -> None:
        if not os.read(pipe, 1):
            asyncio.get_running_loop().remove_reader(pipe)
            self._parent_gone()

    def _parent_gone(self) -> None:
        """Stop as after one SIGTERM, however many signs of it there are."""
        if not self.asked.is_set():
            log.warning("parent_gone", action="draining")
        self.asked.set()
