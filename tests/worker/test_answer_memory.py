"""Large answers share a bounded memory: who may read on, who waits, and that somebody always moves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from llmreq.worker.answer_memory import AnswerMemory, Share
from llmreq.worker.send_error import SendError
from llmreq.worker.sender import Sender
from tests.worker.wire_server import WAYS, Server, Watched, Wire, answered, ask, until

KB, MB = 2**10, 2**20
READ_BYTES = 256 * KB
"""What an event loop may bring in one read."""


async def megabyte(wire: Wire) -> None:
    while await wire.request():
        await wire.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % MB + b"x" * MB)


async def stalling(wire: Wire) -> None:
    """Most of a large answer, and then nothing."""
    await wire.request()
    await wire.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (2 * MB) + b"x" * (3 * MB // 2))
    await wire.gone()


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return uvloop.run(main)


@pytest.mark.parametrize("way", WAYS, ids=["direct", "proxied"])
def test_many_large_answers_at_once_all_arrive_within_the_bound(way: type[Sender]) -> None:
    async def main() -> tuple[list[int], int]:
        memory = Watched(limit_bytes=4 * MB)
        async with Server(megabyte) as server:
            sender = way(memory=memory)

            async def size() -> int:
                return len((await sender.send(ask(server.url), timeout_seconds=20)).body)

            sizes = await asyncio.gather(*(size() for _ in range(40)))
            await sender.close()
            await until(lambda: memory.held_bytes == 0)
            return sizes, memory.most

    sizes, most = run(main())
    assert sizes == [MB] * 40
    assert 4 * MB < most <= 5 * MB + MB // 2 + 40 * READ_BYTES


def test_an_answer_counts_until_nobody_keeps_it() -> None:
    async def main() -> int:
        memory = AnswerMemory()
        async with Server(megabyte) as server:
            sender = Sender(memory=memory)
            response = await sender.send(ask(server.url), timeout_seconds=5)
            held = memory.held_bytes
            del response
            await until(lambda: memory.held_bytes == 0)
            await sender.close()
            return held

    assert run(main()) == MB


def test_answers_that_somebody_keeps_delay_the_others_but_stop_none() -> None:
    async def main() -> list[int]:
        memory = AnswerMemory(limit_bytes=2 * MB, stalled_seconds=0.2)
        async with Server(megabyte) as server:
            sender = Sender(memory=memory)
            kept = [await sender.send(ask(server.url), timeout_seconds=10) for _ in range(4)]
            await sender.close()
            return [len(each.body) for each in kept]

    assert run(main()) == [MB] * 4


@pytest.mark.parametrize("way", WAYS, ids=["direct", "proxied"])
def test_one_that_stalls_while_memory_is_short_is_given_up_for_the_others(way: type[Sender]) -> None:
    async def main() -> tuple[list[Any], list[Any]]:
        memory = AnswerMemory(limit_bytes=2 * MB, stalled_seconds=0.2)
        async with Server(stalling) as stalled, Server(megabyte) as good:
            sender = way(memory=memory)
            bad = [asyncio.create_task(sender.send(ask(stalled.url), timeout_seconds=30)) for _ in range(3)]
            await until(lambda: memory.is_short)
            sizes = [len((await sender.send(ask(good.url), timeout_seconds=20)).body) for _ in range(3)]
            ends = await asyncio.gather(*bad, return_exceptions=True)
            await sender.close()
            return sizes, ends

    sizes, ends = run(main())
    assert sizes == [MB] * 3
    kinds = {end.kind for end in ends if isinstance(end, SendError)}
    assert kinds == {"unknown"}
    assert any("stalled" in str(end) for end in ends)


def test_small_answers_pass_and_deadlines_hold_while_memory_is_short() -> None:
    async def main() -> tuple[int, SendError]:
        memory = AnswerMemory(limit_bytes=2 * MB, stalled_seconds=60)
        async with Server(stalling) as stalled, Server(megabyte) as large, Server(answered) as small:
            sender = Sender(memory=memory)
            stuck = [asyncio.create_task(sender.send(ask(stalled.url), timeout_seconds=60)) for _ in range(3)]
            await until(lambda: memory.is_short)
            with pytest.raises(SendError) as raised:
                await sender.send(ask(large.url), timeout_seconds=0.3)
            status = (await sender.send(ask(small.url), timeout_seconds=5)).status
            for each in stuck:
                each.cancel()
            await asyncio.wait(stuck)
            assert len((await sender.send(ask(large.url), timeout_seconds=5)).body) == MB
            await sender.close()
            return status, raised.value

    status, error = run(main())
    assert status == 200
    assert error.kind == "timeout"


# --- the rules alone -----------------------------------------------------------------------------------------


class Reading:
    """A reader that the test drives."""

    def __init__(self, memory: AnswerMemory) -> None:
        self.memory = memory
        self.share: Share | None = memory.open(self)
        self.paused = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def give_up(self, reason: str) -> None:
        self.end()

    def end(self) -> Share | None:
        share, self.share = self.share, None
        if share is not None:
            self.memory.read(share)
        return share


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["open", "grow", "fail", "whole", "judged"]), st.integers(0, 9)),
        max_size=120,
    )
)
def test_whatever_happens_the_books_are_right_and_somebody_may_read(steps: list[tuple[str, int]]) -> None:
    async def main() -> None:
        limit, most_each = 100, 40
        memory = AnswerMemory(limit_bytes=limit, stalled_seconds=600)
        readings: list[Reading] = []
        judging: list[Share] = []
        for step, number in steps:
            active = [each for each in readings if not each.paused]
            if step == "open":
                readings.append(Reading(memory))
            elif step == "grow" and active:
                chosen = active[number % len(active)]
                assert chosen.share is not None
                memory.grow(chosen.share, min(most_each, chosen.share.size_bytes + 1 + number))
            elif step in ("fail", "whole") and readings:
                chosen = readings.pop(number % len(readings))
                share = chosen.end()
                if step == "whole" and share is not None:
                    judging.append(share)
                del share, chosen
            elif step == "judged" and judging:
                del judging[number % len(judging)]
            active = []
            await asyncio.sleep(0)
            reading = sum(each.share.size_bytes for each in readings if each.share is not None)
            assert memory.held_bytes == reading + sum(share.size_bytes for share in judging)
            if not memory.is_short:
                assert not any(each.paused for each in readings)
            elif readings:
                moving = [
                    each for each in readings if not each.paused and each.share and each.share.size_bytes
                ]
                assert moving or judging  # those that are judged end by themselves
                assert len(moving) <= 1

    asyncio.run(main())
