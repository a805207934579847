"""Getting a connection: dead addresses, dead hosts, storms of cold calls; and that nothing was sent when there is none."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import uvloop

from llmreq.limits import CONNECT_TIMEOUT_SECONDS
from llmreq.worker import dial, http_pool
from llmreq.worker.resolver import Address, Resolver
from llmreq.worker.send_error import SendError
from llmreq.worker.sender import Sender
from tests.worker.wire_server import OK, WAYS, Server, Wire, address, answered, ask, until

Run = Callable[[Coroutine[Any, Any, Any]], Any]
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
TLS = Path(__file__).parent / "tls"


@contextmanager
def black_hole(host: str, port: int = 0) -> Iterator[int]:
    """A port that answers no SYN, as behind a firewall that drops: its queue is full, and nobody accepts."""
    with socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=0
    ) as hole:
        port = hole.getsockname()[1]
        filling = []
        for _ in range(8):
            filler = socket.socket(hole.family, socket.SOCK_STREAM)
            filler.setblocking(False)
            filler.connect_ex((host, port))
            filling.append(filler)
        try:
            yield port
        finally:
            for filler in filling:
                filler.close()


def resolving(*numbers: str) -> Resolver:
    """A resolver to which every name is these addresses."""
    return Resolver(lambda name: [address(number) for number in numbers])


def at(port: int, scheme: str = "http") -> str:
    return f"{scheme}://provider.test:{port}/v1"


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def failure(sender: Sender, url: str, timeout_seconds: float = 20) -> SendError:
    with pytest.raises(SendError) as raised:
        await sender.send(ask(url), timeout_seconds=timeout_seconds)
    return raised.value


@on_both_loops
@pytest.mark.parametrize("dead", ["::1", "127.0.0.2"])
def test_an_address_that_does_not_answer_costs_a_quarter_of_a_second_and_only_once(
    dead: str, run: Run
) -> None:
    async def main() -> tuple[float, str]:
        async with Server(answered) as server:
            with black_hole(dead, server.port):
                resolver = resolving(dead, "127.0.0.1")
                sender = Sender(resolver)
                began = monotonic()
                if dead != "::1":  # of one family they take turns
                    await resolver.addresses("provider.test", server.port)
                assert (await sender.send(ask(at(server.port)), timeout_seconds=20)).status == 200
                took = monotonic() - began
                await sender.close()
                return took, str((await resolver.addresses("provider.test", 1))[0][4][0])

    took, next_first = run(main())
    assert 0.2 < took < CONNECT_TIMEOUT_SECONDS - 1
    assert next_first == "127.0.0.1"


@on_both_loops
def test_a_host_without_an_answer_is_given_up_after_the_time_for_one_attempt(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "CONNECT_TIMEOUT_SECONDS", 0.3)

    async def main() -> SendError:
        with black_hole("127.0.0.1") as port:
            sender = Sender(resolving("127.0.0.1"))
            error = await failure(sender, at(port))
            await sender.close()
            return error

    error = run(main())
    assert (error.kind, error.message) == ("not_sent", "no connection within 0.3 s")


@on_both_loops
def test_addresses_that_refuse_are_looked_up_again(run: Run) -> None:
    async def main() -> tuple[list[str], int, int]:
        asked = 0
        now = 1000.0

        def look_up(name: str) -> list[Address]:
            nonlocal asked
            asked += 1
            return [address("127.0.0.2"), address("127.0.0.3")] if asked == 1 else [address("127.0.0.1")]

        sender = Sender(Resolver(look_up, lambda: now))
        async with Server(answered) as server:
            errors = [await failure(sender, at(server.port))]
            now += 2
            errors.append(await failure(sender, at(server.port)))
            response = await sender.send(ask(at(server.port)), timeout_seconds=5)
            await sender.close()
            return [f"{error.kind}: {error.message}" for error in errors], response.status, asked

    assert run(main()) == (["not_sent: cannot connect: Connection refused"] * 2, 200, 2)


@on_both_loops
def test_a_deadline_that_passes_before_anything_was_written_means_not_sent(run: Run) -> None:
    async def main() -> list[SendError]:
        with black_hole("127.0.0.1") as port:
            sender = Sender(resolving("127.0.0.1"))
            errors = [await failure(sender, at(port), 0.1)]
            await sender.close()
        go_on = threading.Event()
        sender = Sender(Resolver(lambda name: [address("127.0.0.1")] if go_on.wait(20) else []))
        errors.append(await failure(sender, at(port), 0.1))
        go_on.set()
        await sender.close()
        return errors

    for error in run(main()):
        assert (error.kind, error.message) == ("not_sent", "no connection within 0.1 s")


@on_both_loops
@pytest.mark.parametrize("way", WAYS, ids=["direct", "proxied"])
def test_only_a_call_that_began_to_leave_counts_as_sent(way: type[Sender], run: Run) -> None:
    async def main() -> list[int]:
        sent = 0

        def on_sent() -> None:
            nonlocal sent
            sent += 1

        seen = []
        sender = way()
        with black_hole("127.0.0.1") as port:
            request = ask(f"http://127.0.0.1:{port}/v1")
            waiting = asyncio.create_task(sender.send(request, timeout_seconds=20, on_sent=on_sent))
            with pytest.raises(SendError):
                await sender.send(request, timeout_seconds=0.1, on_sent=on_sent)
            waiting.cancel()
            await asyncio.wait((waiting,))
            seen.append(sent)

        async def looking(wire: Wire) -> None:
            while await wire.request():
                seen.append(sent)
                await wire.say(OK)

        async with Server(looking) as server:
            for _ in range(2):  # over a new connection and over a kept one
                await sender.send(ask(server.url), timeout_seconds=5, on_sent=on_sent)
        await sender.close()
        return seen

    assert run(main()) == [0, 1, 2]


class Mute:
    """Takes TCP connections and says nothing, so that no TLS handshake ends; counts them."""

    def __init__(self) -> None:
        self.open = self.most = self.all = 0

    async def serve(self, wire: Wire) -> None:
        self.open += 1
        self.all += 1
        self.most = max(self.most, self.open)
        await wire.gone()
        self.open -= 1


@on_both_loops
def test_connections_are_opened_a_few_at_a_time_each_with_its_own_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_pool, "CONNECTS_AT_ONCE", 3)
    monkeypatch.setattr(dial, "CONNECT_TIMEOUT_SECONDS", 0.2)

    async def main() -> tuple[list[SendError], Mute, int]:
        mute = Mute()
        before = open_files()
        async with Server(mute.serve) as server:
            sender = Sender(resolving("127.0.0.1"))
            errors = await asyncio.gather(*(failure(sender, at(server.port, "https")) for _ in range(9)))
            await until(lambda: mute.open == 0)
            await sender.close()
        return errors, mute, open_files() - before

    errors, mute, left = run(main())
    assert {(error.kind, error.message) for error in errors} == {("not_sent", "no connection within 0.2 s")}
    assert (mute.most, mute.all) == (3, 9)
    assert left <= 1


def test_a_call_that_waits_for_its_turn_to_connect_takes_a_connection_that_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_pool, "CONNECTS_AT_ONCE", 1)

    async def main() -> tuple[list[int], int, str]:
        go_on = asyncio.Event()
        asked = 0
        hanging: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def patient(wire: Wire) -> None:
            while await wire.request():
                await go_on.wait()
                await wire.say(OK)

        class Slow(Resolver):
            async def addresses(self, name: str, port: int) -> list[Address]:
                nonlocal asked
                asked += 1
                if asked == 2:
                    await hanging
                return await super().addresses(name, port)

        sender = Sender(Slow(lambda name: [address("127.0.0.1")]))
        async with Server(patient) as server:

            def call(timeout_seconds: float = 20) -> asyncio.Task[Any]:
                return asyncio.create_task(sender.send(ask(at(server.port)), timeout_seconds=timeout_seconds))

            first = call()
            await until(lambda: len(server.requests) == 1)
            second = call()
            await until(lambda: asked == 2)
            third, late, gone = call(), call(0.05), call()
            await until(late.done)
            gone.cancel()
            go_on.set()
            statuses = [(await first).status, (await third).status]
            hanging.set_result(None)
            statuses.append((await second).status)
            await sender.close()
            error = late.exception()
            assert isinstance(error, SendError)
            return statuses, server.connections, error.kind

    statuses, connections, late = uvloop.run(main())
    assert statuses == [200, 200, 200]
    assert connections == 2
    assert late == "not_sent"


@on_both_loops
def test_a_storm_of_cold_tls_calls_is_answered_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    monkeypatch.setattr(http_pool, "CONNECTS_AT_ONCE", 8)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")

    async def main() -> tuple[set[int], int]:
        waiting = 0
        full = asyncio.Event()

        async def together(wire: Wire) -> None:
            nonlocal waiting
            while await wire.request():
                waiting += 1
                if waiting == 100:
                    full.set()
                await full.wait()
                await wire.say(OK)

        async with Server(together, context) as server:
            sender = Sender()
            answers = await asyncio.gather(
                *(sender.send(ask(server.url), timeout_seconds=30) for _ in range(100))
            )
            await sender.close()
            return {answer.status for answer in answers}, server.connections

    assert run(main()) == ({200}, 100)
