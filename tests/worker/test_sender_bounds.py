"""Answers that would hurt the process or the next call: endless, pipelined, unasked, packed, and too many at once."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import count, repeat
from typing import Any

import pytest
import uvloop

from llmreq.limits import MAX_RESPONSE_HEADER_BYTES
from llmreq.wire.outcome import HttpResponse
from llmreq.worker.send_error import SendError
from llmreq.worker.sender import Sender, open_sender
from tests.worker.wire_server import OK, WAYS, Server, Wire, ask, outcome

Run = Callable[[Coroutine[Any, Any, Any]], Any]
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
by_both_ways = pytest.mark.parametrize("way", WAYS, ids=["direct", "proxied"])

MB = 2**20
STATUS = b"HTTP/1.1 200 OK\r\n"
CHUNKED = STATUS + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"


def numbered(lines: int) -> list[bytes]:
    return [b"x-%d: y\r\n" % number for number in range(lines)]


def without_end() -> Iterator[bytes]:
    """Headers, each with another name."""
    return (b"".join(b"x-%d-%d: y\r\n" % (part, number) for number in range(500)) for part in count())


ENDLESS: dict[str, tuple[bytes, Callable[[], Iterator[bytes]]]] = {
    "header value": (STATUS + b"x: ", lambda: repeat(b"y" * 8192)),
    "header name": (STATUS, lambda: repeat(b"y" * 8192)),
    "headers": (STATUS, without_end),
    "reason": (b"HTTP/1.1 200 ", lambda: repeat(b"y" * 8192)),
    "trailer": (CHUNKED + b"0\r\nx: ", lambda: repeat(b"y" * 8192)),
    "trailers": (CHUNKED + b"0\r\n", without_end),
    "chunk extension": (CHUNKED + b"2;x=", lambda: repeat(b"y" * 8192)),
    "interim responses": (b"", lambda: repeat(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 200)),
}


def endless(name: str) -> tuple[Callable[[Wire], Any], list[int]]:
    """A server that never stops; and how many bytes it could get rid of before the client left."""
    begin, more = ENDLESS[name]
    written = [0]

    async def serve(wire: Wire) -> None:
        await wire.request()
        await wire.say(begin)
        try:
            for part in more():
                written[0] += len(part)
                await wire.say(part)
                if wire.writer.is_closing():
                    return
        except ConnectionError:
            pass

    return serve, written


@on_both_loops
@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_answer_without_a_body_ends_the_call_at_once(name: str, run: Run) -> None:
    serve, written = endless(name)
    error, _ = run(outcome(serve, 20.0))
    assert isinstance(error, SendError)
    assert error.kind == "unknown"
    assert "header" in error.message or "not HTTP" in error.message
    assert written[0] < 16 * MB  # what the sockets' buffers take


# Of the other two aiohttp keeps nothing, and the deadline ends them.
@pytest.mark.parametrize(
    "name", [name for name in ENDLESS if name not in ("interim responses", "chunk extension")]
)
def test_an_endless_answer_behind_a_proxy_ends_the_call_at_once(name: str) -> None:
    serve, written = endless(name)
    error, _ = uvloop.run(outcome(serve, 20.0, WAYS[1]))
    assert isinstance(error, SendError)
    assert error.kind == "unknown"
    assert written[0] < 16 * MB


@by_both_ways
def test_as_many_headers_as_vendors_send_are_no_problem(way: Callable[[], Sender]) -> None:
    async def generous(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        await wire.say(
            STATUS + b"".join(numbered(90)) + b"x: " + b"y" * 7000 + b"\r\ncontent-length: 2\r\n\r\n{}"
        )

    response, _ = uvloop.run(outcome(generous, 5.0, way))
    assert isinstance(response, HttpResponse)
    assert response.headers["x-89"] == "y"
    assert len(response.headers["x"]) == 7000


@pytest.mark.parametrize("headers", [numbered(201), [b"x: " + b"y" * MAX_RESPONSE_HEADER_BYTES + b"\r\n"]])
def test_too_many_headers_are_refused_even_when_they_come_with_the_body(headers: list[bytes]) -> None:
    async def all_at_once(wire: Wire) -> None:
        await wire.request()
        await wire.say(STATUS + b"".join(headers) + b"content-length: 2\r\n\r\n{}")

    error, _ = uvloop.run(outcome(all_at_once))
    assert isinstance(error, SendError)
    assert error.kind == "unknown"


def test_an_answer_cut_within_its_headers_is_no_answer() -> None:
    async def cut(wire: Wire) -> None:
        await wire.request()
        await wire.say(STATUS + b"connection: close\r\nx-a: b\r\nx-c: d\r\n")

    error, _ = uvloop.run(outcome(cut))
    assert isinstance(error, SendError)
    assert error.kind == "unknown"


@on_both_loops
def test_a_switch_of_protocols_is_no_answer(run: Run) -> None:
    async def switch(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
        await wire.gone()

    error, _ = run(outcome(switch, 5.0))
    assert isinstance(error, SendError)
    assert error.kind == "unknown"


# --- bytes that nobody asked for -----------------------------------------------------------------------------

FIRST = STATUS + b"x-which: first\r\ncontent-length: 5\r\n\r\nfirst"
SECOND = b"HTTP/1.1 500 No\r\nx-which: second\r\nretry-after: 9\r\ncontent-length: 6\r\n\r\nsecond"


@on_both_loops
@pytest.mark.parametrize("extra", [SECOND, SECOND[:30], b"garbage", b"\x00"])
def test_what_follows_an_answer_changes_neither_it_nor_the_next(extra: bytes, run: Run) -> None:
    async def twice(wire: Wire) -> None:
        while await wire.request():
            await wire.say(FIRST + extra)

    async def main() -> tuple[list[HttpResponse], int]:
        async with Server(twice) as server:
            sender = open_sender()
            answers = [await sender.send(ask(server.url), timeout_seconds=5) for _ in range(3)]
            await sender.close()
            return answers, server.connections

    answers, connections = run(main())
    assert [(each.status, each.headers, each.body) for each in answers] == [
        (200, {"x-which": "first", "content-length": "5"}, b"first")
    ] * 3
    assert connections == 3


@on_both_loops
def test_trailers_are_not_headers(run: Run) -> None:
    async def trailing(wire: Wire) -> None:
        while await wire.request():
            await wire.say(CHUNKED + b"0\r\nretry-after: 9\r\ntransfer-encoding: x\r\n\r\n")

    response, _ = run(outcome(trailing))
    assert response.headers == {"transfer-encoding": "chunked"}


class BlockingServer:
    """Serves in threads, so that it goes on while the test's event loop stands still."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self.connections = 0
        self.speak = threading.Event()
        self.spoke = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client, self.connections), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with client, suppress(ConnectionError):
            while client.recv(65536):
                client.sendall(OK)
                if number == 1:
                    self.speak.wait(10)
                    client.sendall(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
                    self.spoke.set()


@on_both_loops
def test_an_answer_that_came_before_the_question_is_never_its_answer(run: Run) -> None:
    """As load balancers send a 408 over an idle connection; the event loop has not read it when the next call begins."""

    async def main() -> tuple[int, int]:
        server = BlockingServer()
        sender = open_sender()
        await sender.send(ask(server.url), timeout_seconds=5)
        server.speak.set()
        assert server.spoke.wait(5)  # blocks the loop, as any hard work would
        response = await sender.send(ask(server.url), timeout_seconds=5)
        await sender.close()
        server.close()
        return response.status, server.connections

    assert run(main()) == (200, 2)
