"""One asyncio connection that is opened when needed and opened again after it broke."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from llmreq.database.guarded import GuardedConnection, connect_guarded
from llmreq.errors import DatabaseUnavailableError
from llmreq.limits import DATABASE_OPEN_SECONDS, LOOK_SILENCE_SECONDS


class Link:
    """Holds at most one connection, for one user at a time. One that failed is thrown away without waiting for it; the next
    use opens another (invariant 8). Every wait has a deadline (invariant 11).

    `url` is asked at every opening: it starts the embedded server anew, should that have died.
    """

    def __init__(
        self,
        url: Callable[[], str],
        name: str,
        *,
        silence_seconds: float = LOOK_SILENCE_SECONDS,
        open_seconds: float = DATABASE_OPEN_SECONDS,
    ) -> None:
        self._url = url
        self._name = name
        self._silence_seconds = silence_seconds
        self._open_seconds = open_seconds
        self._connection: GuardedConnection[Any] | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def use(self, silence_seconds: float | None = None) -> AsyncIterator[GuardedConnection[Any]]:
        """The connection, in autocommit: each statement is its own short transaction (invariants 2 and 10).

        A statement that hears nothing for `silence_seconds` raises SilentServerError: what it was to do may be done or not.
        """
        async with self._turn:
            connection = await self._opened()
            connection.silence_seconds = silence_seconds or self._silence_seconds
            try:
                yield connection
            except BaseException:
                # Also after a cancellation in mid-statement: its state is unknown.
                await self._abandon()
                raise

    async def close(self) -> None:
        """Close the connection, if there is one."""
        await self._abandon()

    async def _opened(self) -> GuardedConnection[Any]:
        if self._connection is None or self._connection.closed:
            url = await asyncio.to_thread(self._url)
            try:
                async with asyncio.timeout(self._open_seconds):
                    self._connection = await connect_guarded(url, application_name=self._name)
            except TimeoutError:
                raise DatabaseUnavailableError(
                    f"Postgres did not accept a connection within {self._open_seconds:g} s"
                ) from None
        return self._connection

    async def _abandon(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.abandon()
