"""HTTP/1.1 straight over asyncio, parsed by llhttp: a sixth of the CPU of a general client, because it does one thing.

A POST with a whole body, one whole response; connections are kept, never shared between two calls, and a request is written
exactly once: what happens to it afterwards is the caller's to book.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections import defaultdict
from time import monotonic
from typing import Literal, cast
from urllib.parse import SplitResult, urlsplit

import httptools

from llmreq.limits import CONNECT_TIMEOUT_SECONDS, IDLE_CONNECTION_SECONDS, MAX_ANSWER_BYTES
from llmreq.wire.outcome import HttpRequest, HttpResponse
from llmreq.worker.send_error import SendError, cause

Host = tuple[str, str, int]
"""Scheme, name and port."""


class DirectSender:
    """Connections by host, as many as there are calls in flight. For one event loop."""

    def __init__(self, certificates: ssl.SSLContext) -> None:
        self._certificates = certificates
        self._idle: dict[Host, list[_Connection]] = defaultdict(list)
        self._heads: dict[str, tuple[Host, bytes]] = {}

    async def send(self, request: HttpRequest) -> HttpResponse:
        """POST and read the whole answer. Raises SendError; cut at once when cancelled."""
        host, head = self._head(request)
        connection = self._kept(host) or await self._connect(host)
        try:
            response = await connection.exchange(head + request.body)
        except BaseException:
            connection.abort()
            raise
        if connection.is_reusable:
            connection.idle_since = monotonic()
            self._idle[host].append(connection)
        else:
            connection.abort()
        return response

    async def close(self) -> None:
        """Close every kept connection."""
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()

    def _kept(self, host: Host) -> _Connection | None:
        """The connection used last; older ones close for good once they were idle for too long."""
        kept = self._idle[host]
        oldest = monotonic() - IDLE_CONNECTION_SECONDS
        while kept and (kept[0].idle_since < oldest or not kept[0].is_reusable):
            kept.pop(0).abort()
        while kept:
            connection = kept.pop()
            if connection.is_reusable:
                return connection
        return None

    async def _connect(self, host: Host) -> _Connection:
        scheme, name, port = host
        secure = self._certificates if scheme == "https" else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                _, connection = await loop.create_connection(_Connection, name, port, ssl=secure)
        except TimeoutError:
            raise SendError("not_sent", f"no connection within {CONNECT_TIMEOUT_SECONDS:g} s") from None
        except (OSError, UnicodeError) as error:  # refused, no such name, a certificate that is not trusted
            raise SendError("not_sent", f"cannot connect: {cause(error)}") from None
        return connection

    def _head(self, request: HttpRequest) -> tuple[Host, bytes]:
        known = self._heads.get(request.url)
        if known is None:
            known = self._heads[request.url] = _address(urlsplit(request.url))
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        if lines.count("\n") != len(request.headers) or lines.count("\r") != len(request.headers):
            raise SendError("not_sent", "a header holds a line break: check the provider's key")
        try:
            given = lines.encode("latin-1")
        except UnicodeEncodeError:
            raise SendError(
                "not_sent", "a header holds a character that HTTP does not take: check the provider's key"
            ) from None
        return known[0], b"%b%bcontent-length: %d\r\n\r\n" % (known[1], given, len(request.body))


def _address(parts: SplitResult) -> tuple[Host, bytes]:
    """Host and the first lines of a request to a URL."""
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or not port:
        raise SendError("not_sent", "the provider's base URL is not an http or https address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = name if parts.port is None else f"{name}:{port}"
    lines = (
        f"POST {target} HTTP/1.1",
        f"host: {shown}",
        "user-agent: llmreq",
        "accept: application/json",
        "accept-encoding: identity",
    )
    head = "".join(f"{line}\r\n" for line in lines)
    return (parts.scheme, parts.hostname, port), head.encode("ascii", "replace")


class _Connection(asyncio.Protocol):
    """One connection; at most one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[HttpResponse] | None = None
        self._lost = False
        self._keeps = False
        self.idle_since = 0.0

    @property
    def is_reusable(self) -> bool:
        """Whether another exchange may begin."""
        return (
            self._keeps
            and not self._lost
            and self._transport is not None
            and not self._transport.is_closing()
        )

    async def exchange(self, message: bytes) -> HttpResponse:
        """Write one request, once, and wait for its answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._keeps = False
        if self._lost:
            self._fail("unknown", "the connection broke during the call: closed")
        else:
            self._transport.write(message)
        return await self._answer

    def abort(self) -> None:
        """Close now: a server that still works on an answer sees it."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self._answer is None or self._answer.done():
            return
        if (
            error is None
            and self._headers
            and not self._headers.keys() & {"content-length", "transfer-encoding"}
        ):
            self.on_message_complete()  # a body that ends with its connection
        else:
            self._fail(
                "unknown", f"the connection broke during the call: {cause(error) if error else 'closed'}"
            )

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail("unknown", f"the answer is not HTTP: {cause(error)}")

    # --- the parser's side

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > MAX_ANSWER_BYTES:
            self._fail("too_large", f"the answer is larger than {MAX_ANSWER_BYTES // 2**20} MB")

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # "go on": the answer is still to come
            self._headers = {}
            return
        if self._answer is None or self._answer.done():
            return
        self._keeps = not self._lost and self._parser.should_keep_alive()
        packing = self._headers.get("content-encoding", "identity")
        body = bytes(self._body) if packing == "identity" else self._unpacked()
        if body is not None:
            self._answer.set_result(HttpResponse(status, self._headers, body))

    def _unpacked(self) -> bytes | None:
        try:
            body = zlib.decompressobj(wbits=47).decompress(self._body, MAX_ANSWER_BYTES + 1)
        except zlib.error as error:
            self._fail("unknown", f"the answer cannot be unpacked: {cause(error)}")
            return None
        if len(body) > MAX_ANSWER_BYTES:
            self._fail("too_large", f"the answer is larger than {MAX_ANSWER_BYTES // 2**20} MB")
            return None
        return body

    def _fail(self, kind: Literal["unknown", "too_large"], message: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(SendError(kind, message))
        self.abort()
