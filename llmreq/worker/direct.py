"""HTTP/1.1 straight over asyncio: a sixth of the CPU of a general client, because it does one thing.

A POST with a whole body, one whole response; connections are kept, never shared between two calls, and a request is
written exactly once: what happens to it afterwards is the caller's to book.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from urllib.parse import SplitResult, urlsplit

from llmreq.wire.outcome import HttpRequest, HttpResponse
from llmreq.worker.answer_body import Bodies
from llmreq.worker.dial import Dialer, Host
from llmreq.worker.http_pool import HostPool
from llmreq.worker.resolver import Resolver
from llmreq.worker.send_error import SendError


class DirectSender:
    """Connections by host, as many as there are calls in flight. For one event loop."""

    def __init__(self, certificates: ssl.SSLContext, resolver: Resolver, bodies: Bodies) -> None:
        self._dialer = Dialer(certificates, resolver, bodies)
        self._pools: dict[Host, HostPool] = {}
        self._heads: dict[str, tuple[HostPool, bytes]] = {}
        """By URL: there is one for each provider."""

    async def send(
        self, request: HttpRequest, timeout_seconds: float, on_sent: Callable[[], None]
    ) -> HttpResponse:
        """POST and read the whole answer within one deadline. Raises SendError; cut at once when cancelled."""
        pool, head = self._head(request)
        body = request.body
        del request
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        connection = pool.take()
        if connection is None:
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await pool.connect()
            except TimeoutError:
                raise SendError("not_sent", f"no connection within {timeout_seconds:g} s") from None
        on_sent()
        exchange = connection.exchange(head, body, deadline=deadline, timeout_seconds=timeout_seconds)
        del body
        response = await exchange
        pool.put(connection)
        return response

    async def close(self) -> None:
        """Close every kept connection."""
        for pool in self._pools.values():
            pool.close()

    def _head(self, request: HttpRequest) -> tuple[HostPool, bytes]:
        known = self._heads.get(request.url)
        if known is None:
            host, first_lines = _address(urlsplit(request.url))
            pool = self._pools.setdefault(host, HostPool(partial(self._dialer.dial, host)))
            known = self._heads[request.url] = pool, first_lines
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
    return Host(parts.scheme, parts.hostname, port), head.encode("ascii", "replace")
