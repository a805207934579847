"""A TCP proxy before Postgres that can cut every connection, go silent for a while, or leave some half-open for ever."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine
from typing import Any


class _Connection:
    """Both ends of one connection, and whether what arrives is thrown away."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.ends = (client, server)
        self.lost = False


class Proxy:
    """Listens on loopback, on a thread of its own, and passes bytes to a Unix socket."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self.port = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_error: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cut(self) -> int:
        """Close every connection; how many there were."""
        return int(self._do(self._cut()))

    def silence(self, silent: bool) -> None:
        """Pass nothing on, as a network that lost its way; or go on."""
        self._do(self._set(silent))

    def freeze(self) -> None:
        """Every connection of now is half open for ever: acknowledged, never answered. New ones live."""
        self.leave_half_open(1.0, random.Random(0))

    def leave_half_open(self, share: float, chance: random.Random) -> int:
        """The same for some of them, chosen by chance; how many."""
        return int(self._do(self._lose(share, chance)))

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._flowing = asyncio.Event()
        self._flowing.set()
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.close()
            return
        connection = _Connection(writer, forth)
        self._connections.add(connection)
        for source, target in ((reader, forth), (back, writer)):
            task = asyncio.create_task(self._pass_on(source, target, connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._flowing.wait()
                if not connection.lost:
                    target.write(data)
                    await target.drain()
        for writer in connection.ends:
            writer.close()
        self._connections.discard(connection)

    async def _cut(self) -> int:
        connections = list(self._connections)
        for connection in connections:
            for writer in connection.ends:
                writer.transport.abort()
        return len(connections)

    async def _set(self, silent: bool) -> None:
        if silent:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _lose(self, share: float, chance: random.Random) -> int:
        lost = [each for each in self._connections if chance.random() < share]
        for connection in lost:
            connection.lost = True
        return len(lost)

    async def _end(self) -> None:
        await self._cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
