"""The way through a proxy of the environment, by aiohttp: it knows their ways, and behind a proxy CPU is not what counts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from types import SimpleNamespace

import aiohttp

from llmreq.limits import (
    CONNECT_TIMEOUT_SECONDS,
    DNS_FRESH_SECONDS,
    HAPPY_EYEBALLS_SECONDS,
    IDLE_CONNECTION_SECONDS,
    MAX_RESPONSE_HEADER_BYTES,
    MAX_RESPONSE_HEADERS,
    WRITE_SLICE_BYTES,
)
from llmreq.wire.outcome import HttpRequest, HttpResponse
from llmreq.worker.answer_body import Bodies, Body
from llmreq.worker.answer_memory import Share
from llmreq.worker.http_connection import LargeResponse
from llmreq.worker.send_error import SendError, SendErrorKind, cause


class ProxiedSender:
    """Sends through an HTTP proxy. Make and use it in one event loop."""

    def __init__(self, certificates: ssl.SSLContext, bodies: Bodies) -> None:
        self._bodies = bodies
        writing = aiohttp.TraceConfig()
        writing.on_request_headers_sent.append(_note_sent)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # the worker's concurrency is the bound
                keepalive_timeout=IDLE_CONNECTION_SECONDS,
                ttl_dns_cache=int(DNS_FRESH_SECONDS),
                happy_eyeballs_delay=HAPPY_EYEBALLS_SECONDS,
                ssl=certificates,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS),
            headers={"user-agent": "llmreq", "accept": "application/json", "accept-encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # ours is bounded
            max_line_size=MAX_RESPONSE_HEADER_BYTES,
            max_field_size=MAX_RESPONSE_HEADER_BYTES,
            max_headers=MAX_RESPONSE_HEADERS,
            trace_configs=[writing],
        )

    async def send(
        self, request: HttpRequest, proxy: str | None, timeout_seconds: float, on_sent: Callable[[], None]
    ) -> HttpResponse:
        """POST and read the whole answer within one deadline. Raises SendError; cut at once when cancelled."""
        progress = _Progress(on_sent)
        exchange = self._exchange(request, proxy, progress)
        del request
        try:
            async with asyncio.timeout(timeout_seconds):
                return await exchange
        except aiohttp.ConnectionTimeoutError:
            raise SendError("not_sent", f"no connection within {CONNECT_TIMEOUT_SECONDS:g} s") from None
        except TimeoutError:
            if not progress.is_sent:
                raise SendError("not_sent", f"no connection within {timeout_seconds:g} s") from None
            raise SendError("timeout", f"no whole answer within {timeout_seconds:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise SendError("not_sent", f"cannot connect: {cause(error.os_error)}") from None
        except (aiohttp.InvalidURL, aiohttp.ClientProxyConnectionError) as error:
            raise SendError("not_sent", f"cannot connect: {type(error).__name__}") from None
        except aiohttp.ClientResponseError as error:  # its text would name the address
            text = error.message or type(error).__name__
            raise SendError(
                "unknown", f"the connection broke during the call: {' '.join(text.split())[:200]}"
            ) from None
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise SendError("unknown", f"the connection broke during the call: {cause(error)}") from None

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def _exchange(self, request: HttpRequest, proxy: str | None, progress: _Progress) -> HttpResponse:
        sending = self._session.post(
            request.url,
            data=request.body if len(request.body) <= WRITE_SLICE_BYTES else _Slices(request.body),
            headers=request.headers,
            allow_redirects=False,  # a redirect would carry the key to another host
            proxy=proxy,
            trace_request_ctx=progress,
        )
        del request
        async with sending as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            packing = headers.get("content-encoding", "")
            body, share = await _Reading(response).read(self._bodies, packing)
            if share is None:
                return HttpResponse(response.status, headers, body)
            return LargeResponse(response.status, headers, body, share)


class _Slices(aiohttp.Payload):
    """A large body, written in parts, each when the one before has left; aiohttp's own payloads copy it first."""

    def __init__(self, body: bytes) -> None:
        super().__init__(None)
        self._body = body
        self._whole_size = len(body)

    @property
    def size(self) -> int:
        return self._whole_size

    async def write(self, writer: aiohttp.abc.AbstractStreamWriter) -> None:
        view = memoryview(self._body)
        for start in range(0, len(view), WRITE_SLICE_BYTES):
            await writer.write(view[start : start + WRITE_SLICE_BYTES])
        self._body = b""  # aiohttp keeps this until the answer has come

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._body.decode(encoding, errors)


class _Progress:
    """How far a call has come; aiohttp may keep it for longer than the call, so it holds no answer."""

    def __init__(self, on_sent: Callable[[], None]) -> None:
        self.is_sent = False
        self._on_sent = on_sent

    def begin(self) -> None:
        """The first byte is about to leave."""
        self.is_sent = True
        self._on_sent()


class _Reading:
    """Where a body comes from."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._whole: asyncio.Future[tuple[bytes, Share | None]] = asyncio.get_running_loop().create_future()

    async def read(self, bodies: Bodies, packing: str) -> tuple[bytes, Share | None]:
        """The whole body. Raises SendError, and what aiohttp raises."""
        body = Body(bodies, self, packing)
        try:
            async for data in self._response.content.iter_any():
                body.feed(data)
                await self._may_read.wait()
            body.finish()
            return await self._whole
        except aiohttp.ClientError:
            if self._whole.done():  # it was cut by `body_failed`
                return self._whole.result()
            raise
        finally:
            body.close()

    def pause_body(self) -> None:
        self._may_read.clear()

    def resume_body(self) -> None:
        self._may_read.set()

    def body_done(self, body: bytes, share: Share | None) -> None:
        self._whole.set_result((body, share))

    def body_failed(self, kind: SendErrorKind, message: str) -> None:
        self._whole.set_exception(SendError(kind, message))
        self._whole.exception()  # retrieved, should the call be cancelled now
        self._may_read.set()
        self._response.close()


async def _note_sent(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    context.trace_request_ctx.begin()
