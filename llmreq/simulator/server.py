"""HTTP/1.1 over asyncio, just enough for a JSON API: keep-alive, Content-Length, one handler.

Small, because it shares the machine with what it measures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024

REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    413: "Content Too Large", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 529: "Overloaded",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send. `cut_after`: close after so many bytes of the body; `reset`: close without a byte."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    cut_after: int | None = None
    reset: bool = False


Handler = Callable[[Request, Callable[[], bool]], Awaitable[Reply]]
"""Takes the request and a question: is the client still there?"""


async def serve(handler: Handler, port: int) -> asyncio.Server:
    """Listen on loopback; port 0 picks one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _Connection(handler), "127.0.0.1", port, backlog=4096)


class _Connection(asyncio.Protocol):
    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def connection_lost(self, _error: Exception | None) -> None:
        self._gone = True
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next()

    def _next(self) -> None:
        """Start on the next whole request in the buffer, if there is one."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self._refuse(400, "the header is too large")
            return
        try:
            method, path, headers = _head(bytes(self._buffer[:end]))
            length = int(headers.get("content-length", "0"))
        except ValueError:
            self._refuse(400, "this is not HTTP")
            return
        if length < 0 or length > MAX_BODY_BYTES or "transfer-encoding" in headers:
            self._refuse(413, "the body needs a Content-Length below 64 MB")
            return
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        self._task = asyncio.get_running_loop().create_task(
            self._answer(Request(method, path, headers, body))
        )

    async def _answer(self, request: Request) -> None:
        reply = await self._handler(request, lambda: not self._gone)
        transport = self._transport
        if self._gone or transport is None:
            return
        if reply.reset:
            transport.abort()
            return
        keep = request.headers.get("connection", "").lower() != "close"
        head = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Status')}"]
        head += [f"content-type: {reply.content_type}", f"content-length: {len(reply.body)}"]
        head += [f"{name}: {value}" for name, value in reply.headers]
        if not keep:
            head.append("connection: close")
        sent = reply.body if reply.cut_after is None else reply.body[: reply.cut_after]
        transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + sent)
        if reply.cut_after is not None or not keep:
            transport.close()
            return
        self._task = None
        if self._buffer:
            self._next()

    def _refuse(self, status: int, why: str) -> None:
        assert self._transport is not None
        body = why.encode()
        self._transport.write(
            f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        self._transport.close()


def _head(head: bytes) -> tuple[str, str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    method, path, version = lines[0].split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(line)
        headers[name.strip().lower()] = value.strip()
    return method, path.partition("?")[0], headers
