"""A response body while it arrives: bounded, counted against the memory of all, unpacked as it comes."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from time import monotonic
from typing import Protocol

from llmreq.limits import (
    MAX_ANSWER_BYTES,
    UNMETERED_ANSWER_BYTES,
    UNPACK_SLICE_BYTES,
    UNPACK_TURN_SECONDS,
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
    """All bodies that are being read: their memory, and their turns of unpacking."""

    def __init__(self, memory: AnswerMemory) -> None:
        self.memory = memory
        self._packed: deque[Body] = deque()

    def unpack(self, body: Body) -> None:
        """Unpack a body when its turn comes."""
        self._packed.append(body)
        if len(self._packed) == 1:
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """A slice of each, for a few milliseconds: a bomb may take its time, everybody else's calls may not."""
        until = monotonic() + UNPACK_TURN_SECONDS
        while self._packed and monotonic() < until:
            body = self._packed[0]
            if body.unpack_slice():
                self._packed.rotate(-1)
            else:
                self._packed.popleft()
        if self._packed:
            asyncio.get_running_loop().call_soon(self._turn)


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
        """The next bytes as the wire brought them."""
        if self._closed:
            return
        if self._packing in ("", "identity"):
            self._grow(data)
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
            self._take_turn()

    def finish(self) -> None:
        """No more bytes will come."""
        self._arrived = True
        if not self._closed and not self._has_more:
            self._end()

    def close(self) -> None:
        """Drop everything; the source hears no more."""
        self._closed = True
        self._bytes, self._packed = bytearray(), b""
        self._leave_memory()

    # --- what the memory of all says

    def pause(self) -> None:
        """Take no more bytes, neither from the wire nor from the inflater."""
        self._paused = True
        self._source.pause_body()

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        if self._has_more:
            self._take_turn()
        else:
            self._source.resume_body()

    def give_up(self, reason: str) -> None:
        """End the call."""
        self._fail("unknown", reason)

    # --- unpacking

    def unpack_slice(self) -> bool:
        """Unpack a little; returns whether there is more that may be unpacked now."""
        if not self._paused and not self._closed:
            self._inflate()
        self._in_turn = self._has_more and not self._paused and not self._closed
        if not self._has_more and not self._closed:
            if self._arrived:
                self._end()
            elif not self._paused:
                self._source.resume_body()
        return self._in_turn

    def _take_turn(self) -> None:
        if not self._in_turn and not self._paused:
            self._in_turn = True
            self._bodies.unpack(self)

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
        self._bytes += data
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

    def _leave_memory(self) -> None:
        if self._share is not None:
            share, self._share = self._share, None
            self._bodies.memory.read(share)


def too_large() -> str:
    """What is said of an answer above the bound."""
    return f"the answer is larger than {MAX_ANSWER_BYTES // 2**20} MB"
