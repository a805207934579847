"""A provider that means harm, as a process of its own: what the simulator, a well-behaved one, cannot do.

OpenAI's Chat Completions on any path. A marker in the question says what comes back: `[[hostile:headers]]`. Without one it
answers well. `python -m tests.chaos.hostile` prints its address and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MARKER = re.compile(rb"\[\[hostile:(\w+)\]\]")
MAX_REQUEST_BYTES = 64 * 1024 * 1024
HEADER_BOMB_BYTES = 32 * 1024 * 1024
"""When nobody hangs up before; the sender is to hang up long before."""

BULK_BYTES = 31_000_000
TOOL_CALLS = 400_000
CHUNK_BYTES = 64 * 1024


@contextmanager
def hostile_provider() -> Iterator[str]:
    """Its base URL, with /v1."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.hostile"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.communicate()


def answer(text: str | None = "well", **other: Any) -> dict[str, Any]:
    """A whole answer as OpenAI shapes it; `other` replaces parts of it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "trap",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
        **other,
    }


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP response with this body."""
    lines = [
        f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers,
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def reply(kind: str) -> bytes:
    """The response to a question of this kind, where it is one that can be told beforehand."""
    encoded = json.dumps
    match kind:
        case "nul_tier":
            return whole(encoded(answer(service_tier="a\0b")).encode())
        case "nul_model":
            return whole(encoded(answer(model="tr\0ap")).encode())
        case "nul_finish":
            text = encoded(answer()).replace('"finish_reason": "stop"', '"finish_reason": "st\\u0000op"')
            return whole(text.encode())
        case "nul_text":
            return whole(encoded(answer("a\0b")).encode())
        case "surrogate":
            return whole(encoded(answer("a \ud800 b")).encode())
        case "bulk":
            return whole(encoded(answer("[" + "1," * (BULK_BYTES // 2) + "1]")).encode())
        case "tools":
            call = '{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}'
            message = (
                '{"role":"assistant","content":null,"tool_calls":[' + ",".join([call] * TOOL_CALLS) + "]}"
            )
            text = encoded(answer("@")).replace('{"role": "assistant", "content": "@"}', message)
            return whole(text.replace('"finish_reason": "stop"', '"finish_reason": "tool_calls"').encode())
        case "huge_numbers":
            text = encoded(answer(usage="@")).replace(
                '"@"', '{"prompt_tokens": 1e300, "completion_tokens": 9223372036854775807}'
            )
            return whole(text.encode())
        case "http_429":
            return whole(
                b'{"error":{"message":"slow down","type":"rate_limit"}}', status="429 Too Many Requests"
            )
        case "zero_limit":
            return whole(
                encoded(answer()).encode(),
                "x-ratelimit-limit-requests: 0",
                "x-ratelimit-remaining-requests: 0",
            )
        case "pipelined":
            body = encoded(answer()).encode()
            return whole(body) + whole(body, "x-request-id: somebody-elses")
        case _:
            return whole(encoded(answer()).encode())


async def _connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(min(int(length[1]) if length else 0, MAX_REQUEST_BYTES))
            marked = MARKER.search(body)
            await _answer(marked[1].decode() if marked else "", writer)
    writer.close()


async def _answer(kind: str, writer: asyncio.StreamWriter) -> None:
    if kind == "hang":
        await asyncio.sleep(86_400)
    elif kind == "headers":
        writer.write(b"HTTP/1.1 200 OK\r\n")
        line = b"x-more: " + b"a" * 1000 + b"\r\n"
        for _ in range(HEADER_BOMB_BYTES // CHUNK_BYTES):
            writer.write(line * (CHUNK_BYTES // len(line)))
            await writer.drain()
    elif kind == "drip":
        for byte in whole(json.dumps(answer()).encode()):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)
    else:
        writer.write(reply(kind))
        await writer.drain()


async def _serve() -> None:
    server = await asyncio.start_server(_connected, "127.0.0.1", 0, limit=1024 * 1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(_serve())
