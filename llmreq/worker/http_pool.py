"""The connections to one host: the kept ones, and whose turn it is to open another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

from llmreq.limits import CONNECTS_AT_ONCE, IDLE_CONNECTION_SECONDS
from llmreq.worker.http_connection import Connection


class HostPool:
    """As many connections as there are calls in flight, opened a few at a time. For one event loop."""

    def __init__(self, dial: Callable[[], Awaitable[Connection]]) -> None:
        self._dial = dial
        self._idle: list[Connection] = []
        self._connecting = 0
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        """Calls that wait for a connection that comes back (a result) or for their turn to open one (None)."""

    def take(self) -> Connection | None:
        """The connection used last. Older ones are closed for good once they were idle for too long."""
        oldest = monotonic() - IDLE_CONNECTION_SECONDS
        while self._idle and (self._idle[0].idle_since < oldest or not self._idle[0].is_open):
            self._idle.pop(0).abort()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.is_silent:
                return connection
            connection.abort()
        return None

    def put(self, connection: Connection) -> None:
        """Give a connection back: to a call that waits for one, or to be kept."""
        if not connection.is_open:
            connection.abort()
            return
        while self._queue:
            waiting = self._queue.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return
        connection.idle_since = monotonic()
        self._idle.append(connection)

    async def connect(self) -> Connection:
        """A new connection, when it is this call's turn to open one, or a kept one that came back before. Raises SendError."""
        while self._connecting >= CONNECTS_AT_ONCE:
            kept = await self._wait_in_queue()
            if kept is None:
                return await self._dial_in_turn()
            if kept.is_open and kept.is_silent:
                return kept
            kept.abort()
        self._connecting += 1
        return await self._dial_in_turn()

    def close(self) -> None:
        """Close every kept connection."""
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    async def _wait_in_queue(self) -> Connection | None:
        waiting: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if not waiting.done() or waiting.cancelled():
                with suppress(ValueError):  # passed over already
                    self._queue.remove(waiting)
            elif (kept := waiting.result()) is not None:  # both came in the same moment: others may use it
                self.put(kept)
            else:
                self._end_turn()
            raise

    async def _dial_in_turn(self) -> Connection:
        try:
            return await self._dial()
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        while self._queue:
            waiting = self._queue.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
        self._connecting -= 1
