"""Names of hosts to addresses: kept for a while, shared by all who ask, and old ones when the resolver fails or hangs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from llmreq.limits import (
    ADDRESSES_PER_FAMILY,
    DNS_FAILURE_SECONDS,
    DNS_FRESH_SECONDS,
    DNS_HOSTS_KEPT,
    DNS_PATIENCE_SECONDS,
    DNS_STALE_SECONDS,
    DNS_THREADS,
    DNS_THREADS_PER_HOST,
    DNS_TIMEOUT_SECONDS,
)
from llmreq.worker.send_error import SendError, cause

Address = tuple[int, int, int, str, tuple[object, ...]]
"""Family, type, protocol, an empty text, and the socket's address: as `getaddrinfo` gives them."""
LookUp = Callable[[str], list[Address]]
"""A host's name to its addresses with any port. Blocks; raises OSError or UnicodeError."""


_NEVER = float("-inf")
_FOR_EVER = float("inf")


def system_look_up(name: str) -> list[Address]:
    """Ask the system: its hosts file, its DNS servers."""
    return list(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))


@dataclass(eq=False)
class _Host:
    """What is known of one name. Moments are the resolver's clock."""

    name: str
    addresses: list[Address] = field(default_factory=list)
    fresh_until: float = _NEVER
    usable_until: float = _NEVER
    failed_at: float = _NEVER
    failure: str = ""
    look_up: asyncio.Future[None] | None = None
    """Done when the look-up that callers wait for has ended, or was given up."""
    asked_at: float = _NEVER
    threads: int = 0
    calls: int = 0
    family: int | None = None
    """The family that answered last."""


class Resolver:
    """For one event loop. Look-ups run in threads of their own: one that hangs keeps nobody waiting past its deadline."""

    def __init__(self, look_up: LookUp = system_look_up, clock: Callable[[], float] = monotonic) -> None:
        self._look_up = look_up
        self._clock = clock
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._threads = 0

    async def addresses(self, name: str, port: int) -> list[Address]:
        """A host's addresses in the order to try them. Raises SendError, always `not_sent`."""
        host = self._host(name)
        if self._clock() > host.fresh_until:
            await self._refresh(host)
        if self._clock() > host.usable_until:
            raise SendError("not_sent", f"cannot connect: {host.failure}")
        return _in_order(host, port)

    def answered(self, name: str, family: int) -> None:
        """An address of this family was connected to: the next calls begin with its family, and wait for no dead one."""
        if (host := self._hosts.get(name)) is not None:
            host.family = family

    def doubt(self, name: str) -> None:
        """Nothing answered at these addresses: look them up again, unless that was a moment ago."""
        host = self._hosts.get(name)
        now = self._clock()
        if host is not None and host.fresh_until - now < DNS_FRESH_SECONDS - DNS_FAILURE_SECONDS:
            host.fresh_until = _NEVER

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(name)
            with suppress(OSError, UnicodeError):  # no number, then: a name
                host.addresses = list(
                    socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
                )
                host.fresh_until = host.usable_until = _FOR_EVER
            while len(self._hosts) > DNS_HOSTS_KEPT:
                self._hosts.popitem(last=False)
        self._hosts.move_to_end(name)
        return host

    async def _refresh(self, host: _Host) -> None:
        """Return when the look-up has ended; with old addresses at hand, wait for it only a little."""
        now = self._clock()
        if host.look_up is None and now - host.failed_at >= DNS_FAILURE_SECONDS:
            self._start(host)
        if host.look_up is None:
            return
        patience = host.asked_at + DNS_PATIENCE_SECONDS - now if now <= host.usable_until else None
        if patience is None or patience > 0:
            await asyncio.wait(
                (host.look_up,), timeout=patience
            )  # which leaves it to the others when cancelled

    def _start(self, host: _Host) -> None:
        """Begin a look-up, with a deadline: `getaddrinfo` has none, and may hang for as long as it likes."""
        if self._threads >= DNS_THREADS or host.threads >= DNS_THREADS_PER_HOST:
            self._failed(host, "look-ups of its name hang")
            return
        loop = asyncio.get_running_loop()
        look_up = loop.create_future()
        # Not an executor's: those are waited for when the process ends.
        thread = threading.Thread(
            target=self._run, args=(loop, host, look_up), name="llmreq look-up", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            self._failed(host, cause(error))
            return
        self._threads += 1
        host.threads += 1
        host.look_up, host.asked_at = look_up, self._clock()
        loop.call_later(DNS_TIMEOUT_SECONDS, self._give_up, host, look_up)

    def _run(self, loop: asyncio.AbstractEventLoop, host: _Host, look_up: asyncio.Future[None]) -> None:
        """In the thread."""
        found: list[Address] = []
        failure = "its name has no address"
        try:
            found = self._look_up(host.name)
        except Exception as error:
            failure = cause(error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._ended, host, look_up, found, failure)

    def _ended(self, host: _Host, look_up: asyncio.Future[None], found: list[Address], failure: str) -> None:
        self._threads -= 1
        host.threads -= 1
        if found:  # however late
            now = self._clock()
            host.addresses, host.family = found, None
            host.fresh_until, host.usable_until = now + DNS_FRESH_SECONDS, now + DNS_STALE_SECONDS
            self._release(host)
        elif host.look_up is look_up:
            self._failed(host, failure)

    def _give_up(self, host: _Host, look_up: asyncio.Future[None]) -> None:
        if host.look_up is look_up:
            self._failed(host, f"its name was not found within {DNS_TIMEOUT_SECONDS:g} s")

    def _failed(self, host: _Host, failure: str) -> None:
        host.failed_at, host.failure = self._clock(), failure
        self._release(host)

    def _release(self, host: _Host) -> None:
        if host.look_up is not None:
            host.look_up.set_result(None)
            host.look_up = None


def _in_order(host: _Host, port: int) -> list[Address]:
    """The family that answered last or that the system names first, then the other; others of each in front each time."""
    host.calls += 1
    families: dict[int, list[Address]] = {}
    for family, kind, protocol, _, address in host.addresses:
        found = families.setdefault(family, [])
        found.append((family, kind, protocol, "", (address[0], port, *address[2:])))
    ordered = []
    for family in sorted(families, key=lambda each: each != host.family):
        found = families[family]
        first = host.calls % len(found)
        ordered += (found[first:] + found[:first])[:ADDRESSES_PER_FAMILY]
    return ordered
