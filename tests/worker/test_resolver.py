"""Addresses of hosts: looked up once for all who wait, kept, and old ones used when looking up fails or hangs."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from llmreq.limits import (
    ADDRESSES_PER_FAMILY,
    DNS_FAILURE_SECONDS,
    DNS_FRESH_SECONDS,
    DNS_HOSTS_KEPT,
    DNS_STALE_SECONDS,
    DNS_THREADS,
    DNS_THREADS_PER_HOST,
)
from llmreq.worker import resolver as resolver_module
from llmreq.worker.resolver import Address, Resolver
from llmreq.worker.send_error import SendError
from tests.worker.wire_server import address, until


class Names:
    """A system's resolver and a clock that the test sets."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: list[Address] | Exception = [address("127.0.0.1")]
        self.hanging: set[str] = set()
        self.go_on = threading.Event()
        self.now = 1000.0
        self.resolver = Resolver(self.look_up, lambda: self.now)

    def look_up(self, name: str) -> list[Address]:
        self.asked.append(name)
        answer = self.answer
        if name in self.hanging:
            self.go_on.wait(20)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def first(self, name: str = "a.test") -> str:
        """The first address to try, or what is said instead."""
        try:
            return str((await self.resolver.addresses(name, 443))[0][4][0])
        except SendError as error:
            return f"{error.kind}: {error.message}"


def run(main: Callable[[Names], Any]) -> Any:
    names = Names()
    try:
        return asyncio.run(main(names))
    finally:
        names.go_on.set()


def test_two_thousand_calls_look_a_name_up_once() -> None:
    async def main(names: Names) -> tuple[set[str], int]:
        names.hanging.add("a.test")
        calls = [asyncio.create_task(names.first()) for _ in range(2000)]
        await until(lambda: names.asked == ["a.test"])
        names.go_on.set()
        return set(await asyncio.gather(*calls)), len(names.asked)

    assert run(main) == ({"127.0.0.1"}, 1)


def test_addresses_are_kept_for_a_while_and_then_looked_up_again() -> None:
    async def main(names: Names) -> list[tuple[str, int]]:
        seen = []
        for later in (0.0, DNS_FRESH_SECONDS - 1, 2.0, 1.0):
            names.now += later
            seen.append((await names.first(), len(names.asked)))
            names.answer = [address("127.0.0.2")]
        return seen

    assert run(main) == [("127.0.0.1", 1), ("127.0.0.1", 1), ("127.0.0.2", 2), ("127.0.0.2", 2)]


def test_a_failure_is_kept_for_a_second() -> None:
    async def main(names: Names) -> list[tuple[str, int]]:
        names.answer = socket.gaierror(-2, "Name or service not known")
        seen = []
        for later in (0.0, 0.0, DNS_FAILURE_SECONDS - 0.1, 0.2):
            names.now += later
            seen.append((await names.first(), len(names.asked)))
        return seen

    failed = "not_sent: cannot connect: Name or service not known"
    assert run(main) == [(failed, 1), (failed, 1), (failed, 1), (failed, 2)]


@pytest.mark.parametrize("trouble", ["fails", "finds nothing", "is broken", "hangs"])
def test_old_addresses_serve_for_a_day_while_looking_up(
    trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "DNS_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(resolver_module, "DNS_TIMEOUT_SECONDS", 0.2)

    async def main(names: Names) -> list[str]:
        seen = [await names.first()]
        names.answer = {
            "fails": OSError("down"),
            "finds nothing": [],
            "is broken": ZeroDivisionError("x"),
        }.get(trouble, names.answer)
        if trouble == "hangs":
            names.hanging.add("a.test")
        for later in (DNS_FRESH_SECONDS + 1, 3600.0, DNS_STALE_SECONDS):
            names.now += later
            seen.append(await names.first())
        return seen

    seen = run(main)
    assert seen[:3] == ["127.0.0.1"] * 3
    assert seen[3].startswith("not_sent: cannot connect")


def test_a_look_up_that_hangs_releases_those_who_wait_and_starves_no_other_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolver_module, "DNS_TIMEOUT_SECONDS", 0.05)

    async def main(names: Names) -> tuple[list[str], int, str]:
        names.hanging.add("a.test")
        seen = []
        for _ in range(10):
            seen.append(await names.first())
            names.now += 2 * DNS_FAILURE_SECONDS
        return seen, len(names.asked), await names.first("b.test")

    seen, asked, other = run(main)
    assert all(each.startswith("not_sent: cannot connect") for each in seen)
    assert asked == DNS_THREADS_PER_HOST
    assert other == "127.0.0.1"


def test_however_many_names_hang_the_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "DNS_TIMEOUT_SECONDS", 0.2)

    async def main(names: Names) -> int:
        hosts = [f"{number}.test" for number in range(3 * DNS_THREADS)]
        names.hanging.update(hosts)
        await asyncio.gather(*(names.first(host) for host in hosts))
        return len(names.asked)

    assert run(main) == DNS_THREADS


def test_an_answer_that_comes_late_is_used_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "DNS_TIMEOUT_SECONDS", 0.05)

    async def main(names: Names) -> list[str]:
        names.hanging.add("a.test")
        seen = [await names.first()]
        names.go_on.set()
        await until(lambda: names.resolver._threads == 0)
        return [*seen, await names.first()]

    late, found = run(main)
    assert late.startswith("not_sent: cannot connect: its name was not found")
    assert found == "127.0.0.1"


def test_a_call_that_is_cancelled_takes_the_look_up_from_nobody() -> None:
    async def main(names: Names) -> tuple[str, int]:
        names.hanging.add("a.test")
        first, second = (asyncio.create_task(names.first()) for _ in range(2))
        await until(lambda: names.asked == ["a.test"])
        first.cancel()
        await asyncio.sleep(0)
        names.go_on.set()
        return await second, len(names.asked)

    assert run(main) == ("127.0.0.1", 1)


@pytest.mark.parametrize("number", ["127.0.0.1", "::1", "10.1.2.3"])
def test_a_number_is_not_looked_up_and_never_old(number: str) -> None:
    async def main(names: Names) -> tuple[list[str], int]:
        seen = []
        for _ in range(3):
            seen.append(await names.first(number))
            names.resolver.doubt(number)
            names.now += 2 * DNS_STALE_SECONDS
        return seen, len(names.asked)

    assert run(main) == ([number] * 3, 0)


def test_the_hosts_that_are_kept_are_bounded() -> None:
    async def main(names: Names) -> tuple[int, int]:
        for number in range(DNS_HOSTS_KEPT + 20):
            await names.first(f"{number}.test")
            await names.first("often.test")
        return len(names.resolver._hosts), names.asked.count("often.test")

    assert run(main) == (DNS_HOSTS_KEPT, 1)


def test_addresses_take_turns_behind_the_family_that_answered() -> None:
    async def main(names: Names) -> list[list[str]]:
        names.answer = [address(each) for each in ("::a", "::b", "127.0.0.1", "127.0.0.2")]

        async def order() -> list[str]:
            return [str(each[4][0]) for each in await names.resolver.addresses("a.test", 443)]

        seen = [await order(), await order()]
        names.resolver.answered("a.test", socket.AF_INET)
        return [*seen, await order()]

    first, second, third = run(main)
    assert [each[0] for each in (first, second)] == ["::b", "::a"]
    assert first[2:] == ["127.0.0.2", "127.0.0.1"]
    assert third[:2] == ["127.0.0.2", "127.0.0.1"]
    assert {*first} == {*third}


def test_of_many_addresses_a_few_of_each_family_are_tried_with_the_port_that_is_meant() -> None:
    async def main(names: Names) -> list[Address]:
        names.answer = [address(f"::{number}") for number in range(1, 30)] + [address("127.0.0.1")]
        return await names.resolver.addresses("a.test", 8443)

    found: list[Address] = run(main)
    assert len(found) == ADDRESSES_PER_FAMILY + 1
    assert {each[4][1] for each in found} == {8443}


def test_addresses_that_nobody_answered_at_are_looked_up_again_but_not_for_each_call() -> None:
    async def main(names: Names) -> list[int]:
        asked = []
        for later in (0.0, 0.5, 2.0, 0.5):
            names.now += later
            await names.first()
            asked.append(len(names.asked))
            names.resolver.doubt("a.test")
        return asked

    assert run(main) == [1, 1, 1, 2]


def test_a_process_ends_while_a_look_up_hangs() -> None:
    program = """
import asyncio, threading
from llmreq.worker.resolver import Resolver

async def main():
    hanging = Resolver(lambda name: threading.Event().wait())
    asyncio.create_task(hanging.addresses("a.test", 443))
    await asyncio.sleep(0.05)

asyncio.run(main())
print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")
