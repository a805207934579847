"""The bytes of all large answers of a process, bounded together (invariant 11).

Each large answer holds a `Share` from its first bytes until its call has been judged. When the sum passes the limit
all stop reading but the one that holds most: it ends first and gives back most. So one always moves, and only one
grows. If that one stalls it is given up: it may not hold up the others until its own deadline.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import get_ident
from typing import Protocol

from llmreq.limits import MAX_BUFFERED_ANSWER_BYTES, STALLED_ANSWER_SECONDS, UNMETERED_ANSWER_BYTES


class Reader(Protocol):
    """Who reads an answer: `answer_body.Body`, or a stand-in of the tests."""

    def pause(self) -> None:
        """Take no more bytes."""

    def resume(self) -> None:
        """Go on."""

    def give_up(self, reason: str) -> None:
        """End the call, and with it its reading."""


class AnswerMemory:
    """Who may read on. For one event loop."""

    def __init__(
        self,
        limit_bytes: int = MAX_BUFFERED_ANSWER_BYTES,
        stalled_seconds: float = STALLED_ANSWER_SECONDS,
    ) -> None:
        self._limit = limit_bytes
        self._spare = limit_bytes // 8
        """Must be free before all read on, so that they do not stop and go with every small answer."""
        self._stalled_seconds = stalled_seconds
        self._reading: dict[Share, Reader] = {}
        self._leader: Share | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.held_bytes = 0
        self.is_short = False

    def open(self, reader: Reader) -> Share:
        """A share for one answer, empty as yet."""
        share = Share(self, asyncio.get_running_loop())
        self._reading[share] = reader
        return share

    def grow(self, share: Share, size_bytes: int) -> None:
        """The answer has this size now. Its reader, or all others, are paused when memory is short."""
        self.held_bytes += size_bytes - share.size_bytes
        share.size_bytes = size_bytes
        if self.is_short:
            if share is not self._leader:
                self._reading[share].pause()
        elif self.held_bytes > self._limit:
            self.is_short = True
            for reader in self._reading.values():
                reader.pause()
            self._elect()

    def read(self, share: Share) -> None:
        """The answer has been read, or never will be. Its bytes count until the share is dropped."""
        del self._reading[share]
        if self.is_short and share is self._leader:
            self._elect()

    def free(self, size_bytes: int) -> None:
        """Bytes of a share that was dropped."""
        self.held_bytes -= size_bytes
        if not self.is_short:
            return
        if self.held_bytes <= self._limit - self._spare:
            self.is_short = False
            self._follow(None)
            for reader in list(self._reading.values()):
                reader.resume()
        elif self._leader is None:
            self._elect()

    def _elect(self) -> None:
        """Let the answer that holds most be read on, once those that are being judged hold little: they end by themselves."""
        being_judged = self.held_bytes - sum(share.size_bytes for share in self._reading)
        if being_judged > self._spare:
            self._follow(None)
        else:
            self._lead()

    def _lead(self) -> None:
        leader = max(self._reading, key=lambda share: share.size_bytes, default=None)
        self._follow(leader)
        if leader is not None:
            self._reading[leader].resume()

    def _follow(self, leader: Share | None) -> None:
        self._leader = leader
        if self._watch is not None:
            self._watch.cancel()
        loop = asyncio.get_running_loop()
        if not self.is_short:
            self._watch = None
        elif leader is not None:
            self._watch = loop.call_later(self._stalled_seconds, self._look, leader, leader.size_bytes)
        else:  # a judgement that takes long, or an answer that something keeps, may delay others but not stop them
            self._watch = loop.call_later(self._stalled_seconds, self._lead)

    def _look(self, leader: Share, size_bytes: int) -> None:
        if leader.size_bytes - size_bytes >= UNMETERED_ANSWER_BYTES:
            self._follow(leader)
        else:
            self._reading[leader].give_up("the answer stalled while others waited for memory")


class Share:
    """The bytes of one answer: held until nobody refers to this any more."""

    __slots__ = ("_loop", "_memory", "_thread", "size_bytes")

    def __init__(self, memory: AnswerMemory, loop: asyncio.AbstractEventLoop) -> None:
        self._memory = memory
        self._loop = loop
        self._thread = get_ident()
        self.size_bytes = 0

    def __del__(self) -> None:
        # The last reference may go in any thread and amid anything: the memory hears of it from the loop.
        in_loop = get_ident() == self._thread
        tell = self._loop.call_soon if in_loop else self._loop.call_soon_threadsafe
        with suppress(RuntimeError):  # the loop is closed
            tell(self._memory.free, self.size_bytes)
