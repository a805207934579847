"""Processes beside the worker for what would hold up its event loop: parsers and validators hold the interpreter's lock, so a
thread would not help, and a process can be killed.

Started when first needed, ended when idle. One lane, or one schema, has at most its share of them, and waiting groups take turns:
what one tenant's costly pattern does to 256 answers is no matter to the others (invariant 11).
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from llmreq.limits import (
    SIDE_IDLE_SECONDS,
    SIDE_PROCESSES_LEAST,
    SIDE_SHARE,
    SIDE_WAIT_SECONDS,
    SIDE_WAITING,
)
from llmreq.worker.frames import FrameError, packed
from llmreq.worker.side_process import SideError, SideProcess
from llmreq.worker.side_work import Job

Group = tuple[str, ...]
"""For whom a job is done: each name in it has its share."""


@dataclass
class SidePool:
    """At most `most` processes. For one event loop. `started` and `jobs` count them since the beginning."""

    most: int = field(default_factory=lambda: max(SIDE_PROCESSES_LEAST, os.cpu_count() or 1))
    idle_seconds: float = SIDE_IDLE_SECONDS
    wait_seconds: float = SIDE_WAIT_SECONDS
    started: int = 0
    jobs: int = 0
    _idle: list[SideProcess] = field(default_factory=list)
    _busy: int = 0
    _of: Counter[str] = field(default_factory=Counter)
    _waiting: OrderedDict[Group, deque[asyncio.Future[None]]] = field(default_factory=OrderedDict)
    _waiting_count: int = 0
    _ending: set[asyncio.Task[None]] = field(default_factory=set)
    _timer: asyncio.TimerHandle | None = None

    @property
    def processes(self) -> int:
        """How many there are."""
        return self._busy + len(self._idle)

    async def run(self, job: Job, group: Group, seconds: float) -> Any:
        """The job's result; `seconds` count from when a process takes it.

        Raises LlmreqError when the job says so, and SideError when it comes to no end, or to no beginning.
        """
        try:
            frame = packed(b"j", job)
        except FrameError as error:
            raise SideError(f"holds {error}") from None
        del job  # its bytes are in the frame, and leave with it
        await self._turn(group)
        try:
            return await self._work(frame, seconds)
        finally:
            self._busy -= 1
            self._of.subtract(group)
            self._of += Counter()  # forgets the names at 0
            self._wake()

    async def close(self) -> None:
        """Kill every process, and return when they are gone."""
        for process in self._idle:
            self._end(process)
        self._idle.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _work(self, frame: list[bytes | memoryview], seconds: float) -> Any:
        self.jobs += 1
        process = self._taken() or await self._started()
        try:
            return await process.ask(frame, seconds)
        finally:
            if process.is_alive:
                self._idle.append(process)
                self._watch_idle()
            else:
                self._end(process)

    async def _started(self) -> SideProcess:
        self.started += 1
        return await SideProcess.start()

    def _taken(self) -> SideProcess | None:
        while self._idle:
            process = self._idle.pop()
            if process.is_alive:
                return process
            self._end(process)
        return None

    async def _turn(self, group: Group) -> None:
        """Wait until a process may be had. Raises SideError."""
        if not self._waiting and self._may(group):
            self._take(group)
            return
        if self._waiting_count >= SIDE_WAITING:
            raise SideError("found too much waiting for a process beside", began=False)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(group, deque()).append(turn)
        self._waiting_count += 1
        self._wake()
        try:
            async with asyncio.timeout(self.wait_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._busy -= 1  # it came in the same moment
                self._of.subtract(group)
                self._wake()
            else:
                self._forget(group, turn)
            if isinstance(error, TimeoutError):
                raise SideError(
                    f"found no process beside within {self.wait_seconds:g} s", began=False
                ) from None
            raise

    def _may(self, group: Group) -> bool:
        share = max(1, int(self.most * SIDE_SHARE))
        return self._busy < self.most and all(self._of[name] < share for name in group)

    def _take(self, group: Group) -> None:
        self._busy += 1
        self._of.update(group)

    def _wake(self) -> None:
        """Give processes to the groups that wait, in turn, to each while it has a share left."""
        if self._busy >= self.most:
            return
        for group in list(self._waiting):
            if self._busy >= self.most:
                return
            if not self._may(group):
                continue
            turns = self._waiting[group]
            turn = turns.popleft()
            while turn.done() and turns:  # its call was cut, and has not come to say so yet
                self._waiting_count -= 1
                turn = turns.popleft()
            self._waiting_count -= 1
            if turns:
                self._waiting.move_to_end(group)
            else:
                del self._waiting[group]
            if not turn.done():
                self._take(group)
                turn.set_result(None)

    def _forget(self, group: Group, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(group)
        if turns is not None and turn in turns:
            turns.remove(turn)
            self._waiting_count -= 1
            if not turns:
                del self._waiting[group]

    def _end(self, process: SideProcess) -> None:
        process.kill()
        task = asyncio.create_task(process.wait(), name="side process ends")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _watch_idle(self) -> None:
        """End what is idle when nobody asked for so long."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self.idle_seconds, self._end_idle)

    def _end_idle(self) -> None:
        while self._idle:
            self._end(self._idle.pop())
