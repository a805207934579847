"""Sends one request and brings back one response or one SendError: nothing is retried or redirected here.

aiohttp, because a cancelled or timed-out call must really be cut: reqwest's bindings let it run on, and the provider's
bill with it (docs/decisions.md). It never repeats a POST by itself.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi

from llmreq.limits import CONNECT_TIMEOUT_SECONDS, MAX_ANSWER_BYTES
from llmreq.wire.outcome import HttpRequest, HttpResponse

IDLE_CONNECTION_SECONDS = 60
"""Kept connections are closed after this: shorter than what providers' load balancers allow."""


@dataclass
class SendError(Exception):
    """Why there is no response.

    `not_sent`: no connection, so nothing was billed. `timeout`, `unknown` (cut on the way), `too_large`: the provider
    may have done the work. `message` is one line without URL, key or header.
    """

    kind: Literal["not_sent", "unknown", "timeout", "too_large"]
    message: str

    def __str__(self) -> str:
        return self.message


class Sender:
    """A pool of connections for any number of calls in flight. Make and use it in one event loop, and close it.

    HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured, and SSL_CERT_FILE as OpenSSL honours it.
    """

    def __init__(self) -> None:
        self._proxies = getproxies()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # the worker's concurrency is the bound
                keepalive_timeout=IDLE_CONNECTION_SECONDS,
                ttl_dns_cache=60,
                ssl=_certificates(),
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS),
            headers={"user-agent": "llmreq"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(self, request: HttpRequest, *, timeout_seconds: float) -> HttpResponse:
        """POST and read the whole answer within one deadline. Raises SendError."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._send(request)
        except aiohttp.ConnectionTimeoutError:
            raise SendError("not_sent", f"no connection within {CONNECT_TIMEOUT_SECONDS:g} s") from None
        except TimeoutError:
            raise SendError("timeout", f"no whole answer within {timeout_seconds:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise SendError("not_sent", f"cannot connect: {_cause(error.os_error)}") from None
        except (aiohttp.InvalidURL, aiohttp.ClientProxyConnectionError) as error:
            raise SendError("not_sent", f"cannot connect: {type(error).__name__}") from None
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise SendError("unknown", f"the connection broke during the call: {_cause(error)}") from None

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def _send(self, request: HttpRequest) -> HttpResponse:
        async with self._session.post(
            request.url,
            data=request.body,
            headers=request.headers,
            allow_redirects=False,  # a redirect would carry the key to another host
            proxy=self._proxy(request.url),
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise SendError("too_large", f"the answer is larger than {MAX_ANSWER_BYTES // 2**20} MB")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpResponse(response.status, headers, bytes(body))

    def _proxy(self, url: str) -> str | None:
        if not self._proxies:
            return None
        parts = urlsplit(url)
        if proxy_bypass(parts.netloc):
            return None
        return self._proxies.get(parts.scheme) or self._proxies.get("all")


def open_sender() -> Sender:
    """The sender for a worker."""
    return Sender()


def _certificates() -> ssl.SSLContext:
    """The system's certificates or SSL_CERT_FILE's; certifi's where the system has none, as in small containers."""
    context = ssl.create_default_context()
    chosen = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    if not chosen and not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    return context


def _cause(error: BaseException) -> str:
    """An error's own words in one line; aiohttp's wrappers would name the address, these do not."""
    if isinstance(error, aiohttp.ClientResponseError):
        text = error.message or type(error).__name__
    else:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
