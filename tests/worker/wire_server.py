"""A server's end of the wire, under the test's control; and the two ways by which the sender reaches it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

from llmreq.wire.outcome import HttpRequest, HttpResponse
from llmreq.worker.answer_memory import AnswerMemory, Share
from llmreq.worker.proxied import ProxiedSender
from llmreq.worker.resolver import Address
from llmreq.worker.send_error import SendError
from llmreq.worker.sender import Sender, open_sender

KEY = "sk-never-shown"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
Serve = Callable[["Wire"], Awaitable[None]]


class Wire:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def request(self) -> bytes:
        """Read one whole request; empty when the client left."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Return when the client has closed."""
        try:
            while await self.reader.read(1024):
                pass
        except ConnectionError:
            pass


class Server:
    """Serves each connection with `serve`; counts whole requests that reached it."""

    def __init__(self, serve: Serve, tls: ssl.SSLContext | None = None) -> None:
        self._serve = serve
        self._tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.client_left = asyncio.Event()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/v1/secret-path"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        wire = Wire(reader, writer)
        real = wire.request

        async def counted() -> bytes:
            request = await real()
            if request:
                self.requests.append(request)
            return request

        wire.request = counted
        try:
            await self._serve(wire)
        finally:
            writer.close()


async def answered(wire: Wire) -> None:
    while await wire.request():
        await wire.say(OK)


class Roundabout(Sender):
    """Everything by the way that proxies take, without one."""

    async def send(
        self, request: HttpRequest, *, timeout_seconds: float, on_sent: Callable[[], None] = lambda: None
    ) -> HttpResponse:
        self._proxied = self._proxied or ProxiedSender(self._certificates, self._bodies)
        sending = self._proxied.send(request, None, timeout_seconds, on_sent)
        del request
        return await sending


WAYS: list[type[Sender]] = [Sender, Roundabout]


def ask(url: str) -> HttpRequest:
    return HttpRequest(
        url, {"authorization": f"Bearer {KEY}", "content-type": "application/json"}, b'{"a":1}'
    )


async def outcome(
    serve: Serve, timeout_seconds: float = 5.0, way: Callable[[], Sender] = open_sender
) -> tuple[HttpResponse | SendError, Server]:
    async with Server(serve) as server:
        sender = way()
        try:
            return await sender.send(ask(server.url), timeout_seconds=timeout_seconds), server
        except SendError as error:
            return error, server
        finally:
            await sender.close()


class Watched(AnswerMemory):
    """Remembers the most it held."""

    most = 0

    def grow(self, share: Share, size_bytes: int) -> None:
        super().grow(share, size_bytes)
        self.most = max(self.most, self.held_bytes)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it, not for ever."""
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def address(number: str) -> Address:
    """What a system's resolver finds."""
    return socket.getaddrinfo(number, None, type=socket.SOCK_STREAM)[0]
