"""Sends one request and brings back one response or one SendError: nothing is retried or redirected here.

The library underneath (reqwest) sends a request again only when it never left: when a kept connection turned out
closed before the first byte was written. That is no second call.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    BuilderError,
    ConnectTimeoutError,
    PyreqwestError,
    RequestTimeoutError,
)

from llmreq.limits import CONNECT_TIMEOUT_SECONDS, MAX_ANSWER_BYTES
from llmreq.wire.outcome import HttpRequest, HttpResponse

_NO_CONNECTION = "client error (Connect)"
"""The cause by which hyper says that no connection came about: DNS, TCP or TLS."""

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
    """A pool of connections for any number of calls in flight. Use it from one event loop, and close it."""

    def __init__(self) -> None:
        self._client: Client = _builder().build()

    async def send(self, request: HttpRequest, *, timeout_seconds: float) -> HttpResponse:
        """POST and read the whole answer within one deadline. Raises SendError."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._send(request)
        except TimeoutError:
            raise SendError("timeout", f"no whole answer within {timeout_seconds:g} s") from None
        except ConnectTimeoutError:
            raise SendError("not_sent", f"no connection within {CONNECT_TIMEOUT_SECONDS:g} s") from None
        except BuilderError as error:
            raise SendError("not_sent", f"cannot be sent: {_causes(error)[-1]}") from None
        except RequestTimeoutError:
            raise SendError("timeout", f"no whole answer within {timeout_seconds:g} s") from None
        except PyreqwestError as error:
            causes = _causes(error)
            # The class alone does not tell: a connection that is reset after the request left is a ConnectError too.
            if _NO_CONNECTION in causes:
                raise SendError("not_sent", f"cannot connect: {causes[-1]}") from None
            raise SendError("unknown", f"the connection broke during the call: {causes[-1]}") from None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _send(self, request: HttpRequest) -> HttpResponse:
        call = self._client.post(request.url).headers(dict(request.headers)).body_bytes(request.body)
        async with call.build_streamed() as response:
            reader = response.body_reader
            body = bytearray()
            while (chunk := await reader.read_chunk()) is not None:
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise SendError("too_large", f"the answer is larger than {MAX_ANSWER_BYTES // 2**20} MB")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpResponse(response.status, headers, bytes(body))


def open_sender() -> Sender:
    """The sender for a worker."""
    return Sender()


def _builder() -> ClientBuilder:
    builder = (
        ClientBuilder()
        .user_agent("llmreq")
        .follow_redirects(False)  # a redirect would carry the key to another host
        .connect_timeout(timedelta(seconds=CONNECT_TIMEOUT_SECONDS))
        .pool_idle_timeout(timedelta(seconds=IDLE_CONNECTION_SECONDS))
        .tcp_keepalive(timedelta(seconds=60))
        .referer(False)
    )
    certificates = os.environ.get("SSL_CERT_FILE")
    if certificates:
        builder = builder.add_root_certificate_pem(Path(certificates).read_bytes())
    return builder


def _causes(error: PyreqwestError) -> list[str]:
    """The causes from the outermost in, each in one line; the outer ones repeat the URL, the innermost says why."""
    details = getattr(error, "details", None)
    causes = details.get("causes") if isinstance(details, dict) else None
    return [" ".join(str(cause["message"]).split())[:200] for cause in causes or []] or [type(error).__name__]
