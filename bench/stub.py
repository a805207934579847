"""A provider that costs next to nothing: HTTP/1.1 on one core, a fixed answer after a fixed delay.

`python -m bench.stub DELAY_MS` prints its port. `GET /times` gives the moments at which requests came, and forgets them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

TEXT = json.dumps({"answer": "x" * 700})
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-6-luna",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 250, "completion_tokens": 180, "total_tokens": 430},
    }
).encode()  # fmt: skip


def _reply(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


REPLY = _reply(ANSWER)
came: list[float] = []


class Stub(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        if head.startswith(b"get /times"):
            self._transport.write(_reply(json.dumps(came).encode()))
            came.clear()
            self._buffer = b""
            return
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(self._buffer) >= end + 4 + length:
            came.append(time.monotonic())
            self._buffer = b""
            self._loop.call_later(self.delay, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(REPLY)


async def _serve() -> None:
    Stub.delay = float(sys.argv[1]) / 1000
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=16384)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)  # ends with the process that started it


if __name__ == "__main__":
    uvloop.run(_serve())
