"""What signals ask for, and that no step of stopping keeps the next one waiting."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from llmreq.worker.loop import Loop
from llmreq.worker.shutdown import Shutdown


@pytest.mark.parametrize(
    ("signals", "hurried", "killed", "exit_code"),
    [
        ([signal.SIGTERM], False, False, 0),
        ([signal.SIGINT], False, False, 0),
        ([signal.SIGTERM, signal.SIGTERM], True, False, 0),
        ([signal.SIGINT, signal.SIGINT], True, False, 1),
        ([signal.SIGTERM, signal.SIGTERM, signal.SIGTERM], True, True, 0),
    ],
)
def test_the_first_signal_asks_the_second_hurries_the_third_kills(
    signals: list[signal.Signals], hurried: bool, killed: bool, exit_code: int
) -> None:
    kills: list[bool] = []

    async def main() -> Shutdown:
        shutdown = Shutdown(lambda: kills.append(True))
        shutdown.listen(None)
        for number in signals:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.01)
        assert shutdown.asked.is_set()
        return shutdown

    ended = asyncio.run(main())
    assert (ended.hurried.is_set(), bool(kills), ended.exit_code) == (hurried, killed, exit_code)


def test_a_parent_that_is_gone_asks_and_never_hurries() -> None:
    async def main() -> Shutdown:
        shutdown = Shutdown(lambda: None)
        read_end, write_end = os.pipe()
        shutdown.listen(read_end)
        os.close(write_end)
        await shutdown.asked.wait()
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.01)
        os.close(read_end)
        return shutdown

    assert not asyncio.run(main()).hurried.is_set()


def test_a_step_that_hangs_is_cut_and_one_that_raises_is_told() -> None:
    async def raises() -> None:
        raise RuntimeError("broken")

    async def main() -> None:
        shutdown = Shutdown(lambda: None)
        await shutdown.step("raises", raises())
        await shutdown.step("hangs", asyncio.sleep(60), 0.1)
        shutdown.hurried.set()
        await shutdown.step("hangs", asyncio.sleep(60), 60)

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 5


def test_a_hurry_cuts_a_step_under_way() -> None:
    async def main() -> bool:
        shutdown = Shutdown(lambda: None)
        asyncio.get_running_loop().call_later(0.05, shutdown.hurried.set)
        return await shutdown.wait(asyncio.sleep(60), 60, 0.05)

    began = time.monotonic()
    assert not asyncio.run(main())
    assert time.monotonic() - began < 5


def test_a_loop_lets_its_turn_end_but_not_for_ever() -> None:
    ended: list[str] = []

    async def short() -> float:
        await asyncio.sleep(0.05)
        ended.append("short")
        return 60.0

    async def endless() -> float:
        await asyncio.sleep(60)
        ended.append("endless")
        return 0.0

    async def main() -> None:
        loops = [Loop("short", short), Loop("endless", endless)]
        for loop in loops:
            loop.start()
        await asyncio.sleep(0)
        await asyncio.gather(*(loop.stop(patience_seconds=0.5) for loop in loops))

    began = time.monotonic()
    asyncio.run(main())
    assert ended == ["short"]
    assert time.monotonic() - began < 5


def test_a_loop_tries_again_at_once_when_the_cause_is_over_and_cuts_no_rest_that_followed_no_error() -> None:
    turns: list[str] = []

    async def fails_once() -> float:
        turns.append("turn")
        if len(turns) == 1:
            raise RuntimeError("away")
        return 60.0

    async def main() -> None:
        loop = Loop("fails once", fails_once)
        loop.start()
        await asyncio.sleep(0)  # its first turn; the pause after it is 0.1 s
        for _ in range(2):
            loop.retry()
            await asyncio.sleep(0.02)
        await loop.stop()

    asyncio.run(main())
    assert len(turns) == 2
