"""One HTTP/1.1 connection over asyncio, parsed by llhttp: at most one exchange at a time.

Whatever could hurt the process or the next call ends the connection: headers without end, a second answer, bytes that
nobody asked for.
"""

from __future__ import annotations

import asyncio
import select
from dataclasses import dataclass, field
from typing import cast

import httptools

from llmreq.limits import (
    MAX_INTERIM_RESPONSES,
    MAX_RESPONSE_HEADER_BYTES,
    MAX_RESPONSE_HEADERS,
    UNMETERED_ANSWER_BYTES,
    WRITE_SLICE_BYTES,
)
from llmreq.wire.outcome import HttpResponse
from llmreq.worker.answer_body import Bodies, Body
from llmreq.worker.answer_memory import Share
from llmreq.worker.send_error import SendError, SendErrorKind, cause


@dataclass(frozen=True, slots=True)
class LargeResponse(HttpResponse):
    """A response that counts against the memory of all answers for as long as anybody keeps it."""

    share: Share = field(repr=False)


class Connection(asyncio.Protocol):
    """Made by `loop.create_connection`, used by one call after the other."""

    _transport: asyncio.Transport
    _parser: httptools.HttpResponseParser

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._unread = select.poll()
        self._answer: asyncio.Future[HttpResponse] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._headers: dict[str, str] = {}
        self._final_headers: dict[str, str] | None = None
        self._status = 0
        self._body = bytearray()
        self._large_body: Body | None = None
        self._bodiless_bytes = 0
        """Bytes since the last one of a body: of headers, trailers or chunk extensions."""
        self._interim_responses = 0
        self._is_over = True
        """Nothing that comes now belongs to an exchange."""
        self._is_written = False
        self._keeps = False
        self.idle_since = 0.0

    @property
    def is_open(self) -> bool:
        """Whether another exchange may begin, as far as the event loop knows."""
        return self._keeps and not self._transport.is_closing()

    @property
    def is_silent(self) -> bool:
        """Whether nothing stands unread in the socket: it would be taken for the answer to the next request."""
        return not self._unread.poll(0)

    async def exchange(
        self, head: bytes, body: bytes, *, deadline: float, timeout_seconds: float
    ) -> HttpResponse:
        """Write one request, once, and wait for its answer until the loop's clock is at `deadline`. Raises SendError.

        The connection is cut unless it ends well.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[HttpResponse] = loop.create_future()
        self._answer = answer
        self._parser = httptools.HttpResponseParser(self)
        self._headers = {}
        self._final_headers = None
        self._bodiless_bytes = 0
        self._interim_responses = 0
        self._is_over = self._keeps = False
        timer = loop.call_at(deadline, self._expire, timeout_seconds)
        try:
            if len(body) <= WRITE_SLICE_BYTES:
                self._is_written = True
                self._transport.write(head + body)
            else:
                await self._write_in_slices(head, body)
            del body  # an answer may take long
            return await answer
        except BaseException:
            self.abort()
            raise
        finally:
            timer.cancel()
            self._answer = self._final_headers = None  # an idle connection keeps nothing
            del answer  # nor does an error that it raised, by way of this frame

    def abort(self) -> None:
        """Close now: a server that still works on an answer sees it."""
        self._is_over = True
        self._body = bytearray()
        if self._large_body is not None:
            self._large_body.close()
            self._large_body = None
        self._cut()

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._unread.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._keeps = True

    def connection_lost(self, error: Exception | None) -> None:
        self._keeps = False
        self._let_write()
        if self._is_over:
            return
        if (
            error is None
            and self._final_headers is not None
            and not self._final_headers.keys() & {"content-length", "transfer-encoding"}
        ):
            self.on_message_complete()  # a body that ends with its connection
        else:
            reason = cause(error) if error else "closed"
            self._fail("unknown", f"the connection broke during the call: {reason}")

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            self._cut()  # nobody asked
            return
        self._bodiless_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reject(f"the answer is not HTTP: {cause(error)}")
        if self._bodiless_bytes > MAX_RESPONSE_HEADER_BYTES:
            self._reject(_LARGE_HEADERS)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self._let_write()

    # --- the parser's side. It may go on after an exchange is over, until it has been through the bytes it was given.

    def on_message_begin(self) -> None:
        if self._is_over:
            self._cut()  # a second answer

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        headers, self._headers = self._headers, {}  # what follows, trailers, belongs to nothing
        status = self._parser.get_status_code()
        if self._is_over or status < 200:
            return
        if len(headers) > MAX_RESPONSE_HEADERS:
            self._fail("unknown", f"the answer has more than {MAX_RESPONSE_HEADERS} headers")
            return
        if self._bodiless_bytes > MAX_RESPONSE_HEADER_BYTES and _size(headers) > MAX_RESPONSE_HEADER_BYTES:
            self._fail("unknown", _LARGE_HEADERS)
            return
        self._status = status
        self._final_headers = headers
        packing = headers.get("content-encoding")
        self._large_body = Body(self._bodies, self, packing) if packing else None

    def on_body(self, data: bytes) -> None:
        if self._is_over:
            return
        self._bodiless_bytes = 0
        if self._large_body is not None:
            self._large_body.feed(data)
            return
        self._body += data
        if len(self._body) > UNMETERED_ANSWER_BYTES:
            body, self._body = self._body, bytearray()
            self._large_body = Body(self._bodies, self, "")
            self._large_body.feed(body)

    def on_message_complete(self) -> None:
        if self._is_over:
            return
        if self._final_headers is None:  # "go on": the answer is still to come
            self._interim_responses += 1
            if self._parser.get_status_code() == 101:
                self._fail("unknown", "the answer is not HTTP: it switches protocols")
            elif self._interim_responses > MAX_INTERIM_RESPONSES:
                self._fail("unknown", f"the answer has more than {MAX_INTERIM_RESPONSES} interim headers")
            return
        self._is_over = True
        self._keeps = self._is_written and self._parser.should_keep_alive()
        if self._large_body is not None:
            self._large_body.finish()
            return
        body, self._body = bytes(self._body), bytearray()
        self.body_done(body, None)

    # --- the body's side

    def pause_body(self) -> None:
        self._transport.pause_reading()

    def resume_body(self) -> None:
        self._transport.resume_reading()

    def body_done(self, body: bytes, share: Share | None) -> None:
        headers = self._final_headers
        if self._answer is None or self._answer.done() or headers is None:
            return
        if self._large_body is not None:
            self._large_body = None
            self._transport.resume_reading()  # an idle connection must hear that it was closed
        self._answer.set_result(
            HttpResponse(self._status, headers, body)
            if share is None
            else LargeResponse(self._status, headers, body, share)
        )
        self._let_write()

    def body_failed(self, kind: SendErrorKind, message: str) -> None:
        self._fail(kind, message)

    # --- both

    async def _write_in_slices(self, head: bytes, body: bytes) -> None:
        """No faster than it leaves, and no further once the answer is there: a refusal of its size, say."""
        self._is_written = False
        self._transport.write(head)
        view = memoryview(body)
        for start in range(0, len(body), WRITE_SLICE_BYTES):
            self._transport.write(view[start : start + WRITE_SLICE_BYTES])
            await (self._writable or asyncio.sleep(0))
            if self._is_over:
                return
        self._is_written = True

    def _let_write(self) -> None:
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None

    def _expire(self, timeout_seconds: float) -> None:
        self._fail("timeout", f"no whole answer within {timeout_seconds:g} s")

    def _reject(self, message: str) -> None:
        """What came is no answer; or it follows one, and ends nothing but the connection."""
        if self._is_over:
            self._cut()
        else:
            self._fail("unknown", message)

    def _fail(self, kind: SendErrorKind, message: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(SendError(kind, message))
            self._answer.exception()  # retrieved, should the call be cancelled now
        self.abort()

    def _cut(self) -> None:
        self._keeps = False
        self._transport.abort()
        self._let_write()


_LARGE_HEADERS = f"the answer's headers are larger than {MAX_RESPONSE_HEADER_BYTES // 1024} KB"


def _size(headers: dict[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in headers.items())
