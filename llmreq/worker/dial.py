"""Opens connections: name, addresses, TCP by happy eyeballs (RFC 8305), TLS; each attempt within one deadline."""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple

from aiohappyeyeballs import start_connection

from llmreq.limits import CONNECT_TIMEOUT_SECONDS, HAPPY_EYEBALLS_SECONDS
from llmreq.worker.answer_body import Bodies
from llmreq.worker.http_connection import Connection
from llmreq.worker.resolver import Address, Resolver
from llmreq.worker.send_error import SendError, cause


class Host(NamedTuple):
    """Where to connect."""

    scheme: str
    name: str
    port: int


class Dialer:
    """For one event loop."""

    def __init__(self, certificates: ssl.SSLContext, resolver: Resolver, bodies: Bodies) -> None:
        self._certificates = certificates
        self._resolver = resolver
        self._bodies = bodies

    async def dial(self, host: Host) -> Connection:
        """One new connection. Raises SendError, always `not_sent`."""
        addresses = await self._resolver.addresses(host.name, host.port)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                connection = await self._open(host, addresses)
        except TimeoutError:
            self._resolver.doubt(host.name)
            raise SendError("not_sent", f"no connection within {CONNECT_TIMEOUT_SECONDS:g} s") from None
        except (
            OSError,
            RuntimeError,
        ) as error:  # refused, a certificate that is not trusted; uvloop raises both
            self._resolver.doubt(host.name)
            raise SendError("not_sent", f"cannot connect: {cause(error)}") from None
        if not connection.is_silent:
            connection.abort()
            raise SendError("not_sent", "cannot connect: the server spoke or left before it was asked")
        return connection

    async def _open(self, host: Host, addresses: list[Address]) -> Connection:
        loop = asyncio.get_running_loop()
        sock = await start_connection(
            addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_SECONDS, interleave=1, loop=loop
        )
        self._resolver.answered(host.name, sock.family)
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self._bodies),
                sock=sock,
                ssl=self._certificates if host.scheme == "https" else None,
                server_hostname=host.name if host.scheme == "https" else None,
            )
        except BaseException:
            sock.close()  # the loop may not have taken it over yet
            raise
        return connection
