"""The way through a proxy of the environment, by aiohttp: it knows their ways, and behind a proxy CPU is not what counts."""

from __future__ import annotations

import ssl

import aiohttp

from llmreq.limits import CONNECT_TIMEOUT_SECONDS, IDLE_CONNECTION_SECONDS, MAX_ANSWER_BYTES
from llmreq.wire.outcome import HttpRequest, HttpResponse
from llmreq.worker.send_error import SendError, cause


class ProxiedSender:
    """Sends through an HTTP proxy. Make and use it in one event loop."""

    def __init__(self, certificates: ssl.SSLContext) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # the worker's concurrency is the bound
                keepalive_timeout=IDLE_CONNECTION_SECONDS,
                ttl_dns_cache=60,
                ssl=certificates,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS),
            headers={"user-agent": "llmreq"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(self, request: HttpRequest, proxy: str | None) -> HttpResponse:
        """POST and read the whole answer. Raises SendError; cut at once when cancelled."""
        try:
            return await self._send(request, proxy)
        except aiohttp.ConnectionTimeoutError:
            raise SendError("not_sent", f"no connection within {CONNECT_TIMEOUT_SECONDS:g} s") from None
        except aiohttp.ClientConnectorError as error:
            raise SendError("not_sent", f"cannot connect: {cause(error.os_error)}") from None
        except (aiohttp.InvalidURL, aiohttp.ClientProxyConnectionError) as error:
            raise SendError("not_sent", f"cannot connect: {type(error).__name__}") from None
        except aiohttp.ClientResponseError as error:  # its text would name the address
            said = error.message or type(error).__name__
            raise SendError(
                "unknown", f"the connection broke during the call: {' '.join(said.split())[:200]}"
            ) from None
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise SendError("unknown", f"the connection broke during the call: {cause(error)}") from None

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def _send(self, request: HttpRequest, proxy: str | None) -> HttpResponse:
        async with self._session.post(
            request.url,
            data=request.body,
            headers=request.headers,
            allow_redirects=False,  # a redirect would carry the key to another host
            proxy=proxy,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise SendError("too_large", f"the answer is larger than {MAX_ANSWER_BYTES // 2**20} MB")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpResponse(response.status, headers, bytes(body))
