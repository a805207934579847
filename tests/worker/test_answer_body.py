"""Bodies as they were before packing, whatever packed them and however they are cut; and bombs that stall nobody."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from llmreq.limits import LARGE_ANSWERS_TURN_BYTES, MAX_ANSWER_BYTES, READ_BYTES, UNPACK_SLICE_BYTES
from llmreq.wire.outcome import HttpResponse
from llmreq.worker import answer_body
from llmreq.worker.answer_body import Bodies, Body
from llmreq.worker.answer_memory import AnswerMemory, Share
from llmreq.worker.send_error import SendError, SendErrorKind
from llmreq.worker.sender import Sender
from tests.worker.wire_server import WAYS, Watched, Wire, outcome

MB = 2**20


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "X-GZIP ": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": deflated,
}


class Waiting:
    """Whoever waits for a body; it feeds what it may, and stops when it is told to."""

    def __init__(self) -> None:
        self.may_feed = asyncio.Event()
        self.may_feed.set()
        self.end: asyncio.Future[bytes | str] = asyncio.get_running_loop().create_future()

    def pause_body(self) -> None:
        self.may_feed.clear()

    def resume_body(self) -> None:
        self.may_feed.set()

    def body_done(self, body: bytes, share: Share | None) -> None:
        self.end.set_result(body)

    def body_failed(self, kind: SendErrorKind, message: str) -> None:
        self.end.set_result(kind)
        self.may_feed.set()

    async def read(self, bodies: Bodies, packing: str, parts: list[bytes]) -> bytes | str:
        body = Body(bodies, self, packing)
        for part in parts:
            async with asyncio.timeout(5):
                await self.may_feed.wait()
            body.feed(part)
        body.finish()
        async with asyncio.timeout(5):
            return await self.end


def read(packing: str, parts: list[bytes], limit_bytes: int = 64 * MB) -> bytes | str:
    async def main() -> bytes | str:
        return await Waiting().read(Bodies(AnswerMemory(limit_bytes)), packing, parts)

    return asyncio.run(main())


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=300) | st.integers(0, 400_000).map(lambda size: b"all the same " * (size // 13)),
    packing=st.sampled_from(sorted(PACKERS)),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
    limit_bytes=st.sampled_from([1000, 64 * MB]),
)
def test_a_body_is_what_was_packed_however_it_is_cut(
    data: bytes, packing: str, cuts: list[int], limit_bytes: int
) -> None:
    packed = PACKERS[packing](data)
    places = sorted({0, len(packed), *(cut for cut in cuts if cut < len(packed))})
    parts = [packed[begin:end] for begin, end in pairwise(places)]
    assert read(packing, parts, limit_bytes) == data


BROKEN = {
    "cut": ("gzip", gzip.compress(b"{}" * 100)[:-9]),
    "followed": ("gzip", gzip.compress(b"{}") + b"more"),
    "two": ("gzip", gzip.compress(b"{}") + gzip.compress(b"{}")),
    "not packed": ("gzip", b"{}"),
    "not deflate": ("deflate", b"\xff\xff\xff"),
    "brotli": ("br", b"{}"),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(b"{}"))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_body_that_is_not_wholly_what_it_says_is_no_answer(name: str) -> None:
    packing, packed = BROKEN[name]
    assert read(packing, [packed]) == "unknown"


def test_nothing_packed_is_nothing() -> None:
    assert read("gzip", []) == b""


def test_packed_bytes_without_end_are_bounded_even_when_they_hold_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer_body, "MAX_ANSWER_BYTES", 100_000)
    empty_block = b"\x00\x00\x00\xff\xff"
    assert read("deflate", [empty_block * 2000] * 20) == "too_large"


def test_a_bomb_is_unpacked_in_turns_with_everybody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_body, "LARGE_ANSWERS_TURN_SECONDS", 0.001)
    bomb = gzip.compress(b"x" * (MAX_ANSWER_BYTES - 1))

    async def main() -> tuple[int, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        body = await Waiting().read(Bodies(AnswerMemory()), "gzip", [bomb])
        other.cancel()
        return len(body), turns

    size, turns = uvloop.run(main())
    assert size == MAX_ANSWER_BYTES - 1
    assert turns > 10  # unless a core unpacks 3 GB a second


def test_large_answers_are_read_a_little_in_each_turn_of_the_loop() -> None:
    async def main() -> tuple[int, bool]:
        bodies = Bodies(AnswerMemory())
        reading = [Waiting() for _ in range(4)]
        feeding = [Body(bodies, each, "") for each in reading]
        rounds = 0
        while any(each.may_feed.is_set() for each in reading):  # as a loop does that takes all there is
            rounds += 1
            for waiting, body in zip(reading, feeding, strict=True):
                if waiting.may_feed.is_set():
                    body.feed(bytes(READ_BYTES))
        for _ in range(5):
            await asyncio.sleep(0)
        return rounds, all(each.may_feed.is_set() for each in reading)

    rounds, go_on = asyncio.run(main())
    assert rounds <= LARGE_ANSWERS_TURN_BYTES // (4 * READ_BYTES) + 2
    assert go_on


def test_a_bomb_stops_in_the_middle_when_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_body, "MAX_ANSWER_BYTES", 4 * MB)
    bomb = gzip.compress(b"x" * 4 * MB)

    async def main() -> int:
        memory = Watched(limit_bytes=6 * MB)
        bodies = Bodies(memory)
        for end in asyncio.as_completed([Waiting().read(bodies, "gzip", [bomb]) for _ in range(8)]):
            assert len(await end) == 4 * MB
        return memory.most

    assert uvloop.run(main()) < 6 * MB + 4 * MB + 8 * UNPACK_SLICE_BYTES


@pytest.mark.parametrize("way", WAYS, ids=["direct", "proxied"])
@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_a_packed_answer_is_unpacked_on_its_way(way: type[Sender], packing: str) -> None:
    data = b'{"a": "' + b"x" * 200_000 + b'"}'

    async def packed(wire: Wire) -> None:
        while await wire.request():
            body = PACKERS[packing](data)
            head = b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n"
            await wire.say(head % (packing.encode(), len(body)) + body)

    response, _ = uvloop.run(outcome(packed, 5.0, way))
    assert isinstance(response, HttpResponse)
    assert response.body == data


@pytest.mark.parametrize("way", WAYS, ids=["direct", "proxied"])
def test_an_answer_packed_in_a_way_that_was_not_asked_for_is_no_answer(way: type[Sender]) -> None:
    async def packed(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n{}")

    error, _ = uvloop.run(outcome(packed, 5.0, way))
    assert isinstance(error, SendError)
    assert error.kind == "unknown"
