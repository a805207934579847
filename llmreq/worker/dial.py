"""Opens connections: name, addresses, TCP by happy eyeballs (RFC 8305), TLS; each attempt within one deadline."""

from __future__ import annotations

import asyncio
import os
import socket
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
                connection = await self._open(host, await self._reach(host, addresses))
        except TimeoutError:
            self._resolver.doubt(host.name)
            raise SendError("not_sent", f"no connection within {CONNECT_TIMEOUT_SECONDS:g} s") from None
        except (
            OSError,
            RuntimeError,
            ValueError,
        ) as error:  # refused, not trusted, no name for a certificate
            self._resolver.doubt(host.name)
            raise SendError("not_sent", f"cannot connect: {cause(error)}") from None
        # Over TLS an unread record may be a session ticket, which servers send unasked.
        if not connection.is_open or (host.scheme == "http" and not connection.is_silent):
            connection.abort()
            raise SendError("not_sent", "cannot connect: the server spoke or left before it was asked")
        return connection

    async def _reach(self, host: Host, addresses: list[Address]) -> socket.socket:
        """A connected socket: of the addresses, each begun a little after the one before, the first that answers."""
        try:
            reached = await start_connection(
                addresses,
                happy_eyeballs_delay=HAPPY_EYEBALLS_SECONDS,
                interleave=1,
                loop=asyncio.get_running_loop(),
            )
        except (OSError, RuntimeError) as error:  # uvloop has both; their texts name the addresses
            number = getattr(error, "errno", None)
            reason = os.strerror(number) if number else "none of its addresses answers"
            raise ConnectionError(reason) from None
        self._resolver.answered(host.name, reached.family)
        return reached

    async def _open(self, host: Host, reached: socket.socket) -> Connection:
        secure = host.scheme == "https"
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._bodies),
                sock=reached,
                ssl=self._certificates if secure else None,
                server_hostname=host.name if secure else None,
            )
        except BaseException:
            reached.close()  # the loop may not have taken it over
            raise
        return connection
