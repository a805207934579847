"""One asyncio connection that is opened when needed and opened again after it broke."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from llmreq.database.connection import connect_async


class Link:
    """Holds at most one connection. A connection that failed is thrown away; the next use opens another (invariant 8).

    `url` is asked at every opening: it starts the embedded server anew, should that have died.
    """

    def __init__(self, url: Callable[[], str], name: str) -> None:
        self._url = url
        self._name = name
        self._connection: psycopg.AsyncConnection[Any] | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """The connection, in autocommit: each statement is its own short transaction (invariants 2 and 10)."""
        if self._connection is None or self._connection.closed:
            url = await asyncio.to_thread(self._url)
            self._connection = await connect_async(url, application_name=self._name)
        try:
            yield self._connection
        except BaseException:
            # Also after a cancellation in mid-statement: its state is unknown.
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
