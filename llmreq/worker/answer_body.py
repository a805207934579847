"""A response body while it arrives: bounded, counted against the memory of all, unpacked as it comes."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from time import monotonic
from typing import Protocol

from llmreq.limits import (
    LARGE_ANSWERS_TURN_BYTES,
    LARGE_ANSWERS_TURN_SECONDS,
    MAX_ANSWER_BYTES,
    READ_BYTES,
    UNMETERED_ANSWER_BYTES,
    UNPACK_SLICE_BYTES,
)
from llmreq.worker.answer_memory import AnswerMemory, Share
from llmreq.worker.send_error import SendErrorKind, cause

_UNPACKABLE = {"gzip", "x-gzip", "deflate"}


class Source(Protocol):
    """Where a body comes from, and who waits for it: a connection of our own, or aiohttp's."""

    def pause_body(self) -> None:
        """Feed no more than is on its way."""

    def resume_body(self) -> None:
        """Go on."""

    def body_done(self, body: bytes, share: Share | None) -> None:
        """The whole body; its bytes count until `share` is dropped."""

    def body_failed(self, kind: SendErrorKind, message: str) -> None:
        """There will be no whole body."""


class Bodies:
    """All bodies that are being read: their memory, and their turns in the event loop, which is everybody's."""

    def __init__(self, memory: AnswerMemory) -> None:
        self.memory = memory
        self._waiting: deque[Body] = deque()
        self._read_bytes = 0
        self._has_next_turn = False

    def fills_turn(self, size_bytes: int) -> bool:
        """Count what a large body brought; whether this turn of the loop has seen enough."""
        self._read_bytes += size_bytes
        self._plan_turn()
        return self._read_bytes > LARGE_ANSWERS_TURN_BYTES

    def wait(self, body: Body) -> None:
        """Call the body's `take_turn` in a later turn of the loop."""
        self._waiting.append(body)
        self._plan_turn()

    def _plan_turn(self) -> None:
        if not self._has_next_turn:
            self._has_next_turn = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """A little of each, for a few milliseconds: large answers may take their time, everybody else's calls may not."""
        self._has_next_turn = False
        self._read_bytes = 0
        until = monotonic() + LARGE_ANSWERS_TURN_SECONDS
        for _ in range(min(len(self._waiting), LARGE_ANSWERS_TURN_BYTES // READ_BYTES)):
            self._waiting.popleft().take_turn()
            if monotonic() > until:
                break
        if self._waiting:
            self._plan_turn()


class Body:
    """One body. `packing` is its content-encoding, empty for none."""

    def __init__(self, bodies: Bodies, source: Source, packing: str) -> None:
        self._bodies = bodies
        self._source = source
        self._packing = packing.strip().lower()
        self._share: Share | None = None
        self._bytes = bytearray()
        self._packed = b""
        self._packed_bytes = 0
        self._inflater: zlib._Decompress | None = None
        self._has_more = False
        """Whether the inflater has more to give."""
        self._in_turn = False
        self._paused = False
        self._arrived = False
        self._closed = False

    def feed(self, data: bytes | bytearray) -> None:
        """The next bytes as the wire brought them. A bytearray is given away."""
        if self._closed:
            return
        if self._packing in ("", "identity"):
            self._grow(data)
            if self._share is not None and self._bodies.fills_turn(len(data)):
                self._source.pause_body()
                self._wait_for_turn()
            return
        self._packed_bytes += len(data)
        if self._packing not in _UNPACKABLE:
            self._fail("unknown", "the answer is packed in a way that was not asked for")
        elif self._packed_bytes > MAX_ANSWER_BYTES:
            self._fail("too_large", too_large())
        else:
            self._packed += data
            self._has_more = True
            self._source.pause_body()
            self._wait_for_turn()

    def finish(self) -> None:
        """No more bytes will come."""
        self._arrived = True
        if not self._closed and not self._has_more:
            self._end()

    def close(self) -> None:
        """Drop everything; the source hears no more."""
        self._closed = True
        self._has_more = False
        self._bytes, self._packed = bytearray(), b""
        if self._share is not None:
            self._bodies.memory.read(self._share)
            self._share = None

    # --- what the memory of all says

    def pause(self) -> None:
        """Take no more bytes, neither from the wire nor from the inflater."""
        self._paused = True
        self._source.pause_body()

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        if self._has_more:
            self._wait_for_turn()
        elif not self._in_turn:
            self._source.resume_body()

    def give_up(self, reason: str) -> None:
        """End the call."""
        self._fail("unknown", reason)

    # --- turns

    def take_turn(self) -> None:
        """Unpack a little, or read on."""
        self._in_turn = False
        if self._paused or self._closed:
            return
        if self._has_more:
            self._inflate()
        self._go_on()

    def _go_on(self) -> None:
        if self._closed:
            return
        if self._has_more:
            self._wait_for_turn()
        elif self._arrived:
            self._end()
        elif not self._paused:
            self._source.resume_body()

    def _wait_for_turn(self) -> None:
        if not self._in_turn and not self._paused:
            self._in_turn = True
            self._bodies.wait(self)

    def _inflate(self) -> None:
        if self._inflater is None:
            # Servers mean either of two formats by "deflate"; zlib's own begins with an 8 in these bits.
            raw = self._packing == "deflate" and self._packed[0] & 0x0F != 8
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS + 32)
        try:
            data = self._inflater.decompress(self._packed, UNPACK_SLICE_BYTES)
        except zlib.error as error:
            self._fail("unknown", f"the answer cannot be unpacked: {cause(error)}")
            return
        self._packed = self._inflater.unconsumed_tail
        self._has_more = bool(self._packed) or len(data) == UNPACK_SLICE_BYTES
        if self._inflater.unused_data:
            self._fail("unknown", "the answer cannot be unpacked: more follows its end")
        else:
            self._grow(data)

    # --- the bytes as they were before packing

    def _grow(self, data: bytes | bytearray) -> None:
        if self._bytes or not isinstance(data, bytearray):
            self._bytes += data
        else:
            self._bytes = data  # nobody else's any more
        size = len(self._bytes)
        if size > MAX_ANSWER_BYTES:
            self._fail("too_large", too_large())
        elif size > UNMETERED_ANSWER_BYTES:
            self._share = self._share or self._bodies.memory.open(self)
            self._bodies.memory.grow(self._share, size)

    def _end(self) -> None:
        if self._packed_bytes and (self._inflater is None or not self._inflater.eof):
            self._fail("unknown", "the answer cannot be unpacked: its end is missing")
            return
        body, share = bytes(self._bytes), self._share
        self.close()
        self._source.body_done(body, share)

    def _fail(self, kind: SendErrorKind, message: str) -> None:
        self.close()
        self._source.body_failed(kind, message)


def too_large() -> str:
    """What is said of an answer above the bound."""
    return f"the answer is larger than {MAX_ANSWER_BYTES // 2**20} MB"
