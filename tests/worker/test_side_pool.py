"""Processes beside the worker: shared fairly, killed when late, gone when idle or when their worker is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from llmreq.errors import InvalidSchemaError, LlmreqError
from llmreq.limits import SIDE_RECYCLE_BYTES
from llmreq.worker.side_pool import SidePool
from llmreq.worker.side_process import SideError, scrubbed

T = TypeVar("T")


KEPT: list[bytes] = []


@dataclass
class Sleep:
    seconds: float

    def work(self) -> Generator[str, None, int]:
        yield "not yet"
        time.sleep(self.seconds)
        return os.getpid()


@dataclass
class Fail:
    how: str

    def work(self) -> Generator[Any, None, None]:
        yield "not yet"
        if self.how == "memory":
            bytearray(1 << 40)
        if self.how == "crash":
            os._exit(3)
        if self.how == "noise":
            print(
                "x" * 100_000
            )  # standard output is the answers' pipe: a library that prints must not break it
            sys.stdout.flush()
            return
        raise (
            InvalidSchemaError("no schema", details={"a": 1}) if self.how == "named" else ValueError("PROMPT")
        )


@dataclass
class Grow:
    def work(self) -> Generator[Any, None, int]:
        yield from ()
        KEPT.append(b"x" * 700_000_000)
        return len(KEPT[0])


def run(work: Callable[[SidePool], Coroutine[Any, Any, T]], **settings: Any) -> T:
    async def whole() -> T:
        pool = SidePool(**settings)
        try:
            return await work(pool)
        finally:
            await pool.close()
            assert pool.processes == 0

    return asyncio.run(whole())


def test_a_process_is_started_when_needed_used_again_and_ended_when_idle() -> None:
    async def work(pool: SidePool) -> None:
        assert pool.processes == 0
        first, second = [await pool.run(Sleep(0), ("a",), 30) for _ in range(2)]
        assert (first == second, pool.processes, pool.started) == (True, 1, 1)
        pool.idle_seconds = 0.1
        assert await pool.run(Sleep(0), ("a",), 30) == first
        await until(lambda: pool.processes == 0)
        await until(Path(f"/proc/{first}").exists, is_so=False)

    run(work)


def test_a_process_of_a_large_worker_is_used_again() -> None:
    async def work(pool: SidePool) -> None:
        large = b"x" * 700_000_000
        first, second = [await pool.run(Sleep(0), ("a",), 30) for _ in range(2)]
        assert len(large) > SIDE_RECYCLE_BYTES
        assert first == second

    run(work)


def test_a_job_past_its_deadline_is_killed_and_leaves_what_it_said() -> None:
    async def work(pool: SidePool) -> None:
        await pool.run(Sleep(0), ("a",), 30)
        with pytest.raises(SideError, match=r"longer than 1\.5 s") as caught:
            await pool.run(Sleep(60), ("a",), 1.5)
        assert (caught.value.provisional, caught.value.began) == ("not yet", True)
        assert await pool.run(Sleep(0), ("a",), 30)

    run(work)


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ("named", LlmreqError, "no schema"),
        ("raises", SideError, "failed .ValueError."),
        ("memory", SideError, "failed .MemoryError."),
        ("crash", SideError, "ended its process"),
    ],
)
def test_a_job_that_fails_fails_alone(how: str, kind: type[Exception], says: str) -> None:
    async def work(pool: SidePool) -> None:
        with pytest.raises(kind, match=says) as caught:
            await pool.run(Fail(how), ("a",), 30)
        assert "PROMPT" not in str(caught.value)
        assert await pool.run(Sleep(0), ("a",), 30)
        assert await pool.run(Fail("noise"), ("a",), 30) is None

    run(work)


def test_one_group_has_its_share_and_the_others_do_not_wait_for_it() -> None:
    async def work(pool: SidePool) -> None:
        costly = [asyncio.create_task(pool.run(Sleep(60), ("lane a", "schema"), 60)) for _ in range(256)]
        await until(lambda: pool.processes >= 2)
        for group in (("lane b",), ("lane c",), ("lane b",)):
            await pool.run(Sleep(0), group, 30)
        assert pool.processes <= pool.most
        same = asyncio.create_task(pool.run(Sleep(0), ("lane z", "schema"), 30))
        await asyncio.sleep(0.1)
        assert not same.done(), "the same schema from another lane is the same group's"
        for task in (*costly, same):
            task.cancel()
        await asyncio.wait([*costly, same])
        assert await pool.run(Sleep(0), ("lane a",), 30)

    run(work, most=4)


def test_waiting_groups_take_turns() -> None:
    async def work(pool: SidePool) -> None:
        order: list[str] = []

        async def one(name: str) -> None:
            await pool.run(Sleep(0), ("lane", name), 30)
            order.append(name)

        await asyncio.gather(*(one(name) for name in "aaaaaaaab"))
        assert order.index("b") <= 2

    run(work, most=2)


def test_a_job_that_finds_no_room_says_so_in_time() -> None:
    async def work(pool: SidePool) -> None:
        first = asyncio.create_task(pool.run(Sleep(60), ("a",), 60))
        await until(lambda: pool.processes == 1)
        with pytest.raises(SideError, match=r"no process beside within 0\.3 s") as caught:
            await pool.run(Sleep(0), ("a",), 30)
        assert not caught.value.began
        first.cancel()
        await asyncio.wait([first])
        assert await pool.run(Sleep(0), ("a",), 30)

    run(work, wait_seconds=0.3)


def test_a_process_that_grew_large_gives_its_memory_back() -> None:
    async def work(pool: SidePool) -> None:
        assert await pool.run(Grow(), ("a",), 30) == 700_000_000
        assert pool.processes == 0
        assert await pool.run(Sleep(0), ("a",), 30)

    run(work)


def test_a_process_dies_in_the_middle_of_its_job_when_its_worker_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    code = f"""
import asyncio, pathlib
from llmreq.limits import SIDE_RECYCLE_BYTES
from llmreq.worker.side_pool import SidePool
from tests.worker.test_side_pool import Sleep
async def main():
    pool = SidePool()
    pid = await pool.run(Sleep(0), ("a",), 30)
    pathlib.Path({str(told)!r} + ".part").write_text(str(pid))
    pathlib.Path({str(told)!r} + ".part").rename({str(told)!r})
    await pool.run(Sleep(60), ("a",), 60)
asyncio.run(main())
"""
    worker = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        wait_until(told.exists)
        time.sleep(0.2)  # let it be busy; idle, it would see the pipe's end
    finally:
        worker.kill()
        worker.wait()
    pid = int(told.read_text())
    wait_until(
        lambda: not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text()
    )


def test_the_environment_beside_holds_no_key() -> None:
    kept = scrubbed(
        {
            "PATH": "/bin",
            "LC_ALL": "C",
            "PYTHONPATH": "x",
            "OPENAI_API_KEY": "k",
            "PGPASSWORD": "p",
            "HTTPS_PROXY": "u:p@h",
        }
    )
    assert kept == {"PATH": "/bin", "LC_ALL": "C", "PYTHONPATH": "x"}


async def until(condition: Callable[[], object], *, is_so: bool = True) -> None:
    deadline = time.monotonic() + 30
    while bool(condition()) is not is_so:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
