"""A provider that means harm: a real HTTP server whose answers are large, deep, wrong or endless. The request's text says which.

`python -m tests.worker.hostile` prints its port.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable

USAGE = {"prompt_tokens": 5, "completion_tokens": 6}


def _envelope(message: object, **more: object) -> bytes:
    choice = {"message": message, "finish_reason": "stop"}
    return json.dumps({"model": "m-1", "choices": [choice], "usage": USAGE, **more}).encode()


def _large_json() -> bytes:
    return _envelope({"content": "[" + ",".join(['{"a":[1,2.5,"x"],"b":null}'] * 900_000) + "]"})


def _many_tool_calls() -> bytes:
    one = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    return _envelope({"tool_calls": [one] * 300_000})


ANSWERS: dict[str, Callable[[], bytes]] = {
    "fine": lambda: _envelope({"content": '{"a": 1}'}),
    "marker": lambda: _envelope({"content": '{"a": "ANSWER-9f31"}'}),
    "large_json": _large_json,
    "large_text": lambda: _envelope({"content": "word " * 6_000_000}),
    "many_tool_calls": _many_tool_calls,
    "wide_envelope": lambda: b'{"choices":[' + b"[],[]," * 5_000_000 + b"{}]}",
    "deep": lambda: _envelope({"content": "[" * 3_000_000}),
    "numbers": lambda: _envelope({"content": "[" + "1e308," * 900_000 + "1]"}),
    "nul_names": lambda: _envelope({"content": "x\0y"}, service_tier="a\0b", model="\0" * 5_000),
    "endless_names": lambda: _envelope(
        {"content": "x"}, service_tier="t" * 5_000_000, model="\ud800" * 1_000_000
    ),
    "endless_counts": lambda: _envelope(
        {"content": "x"}, usage={"prompt_tokens": 2**63, "completion_tokens": 1}
    ),
    "odd_refusal": lambda: _envelope({"refusal": "no\0" * 100_000}),
    "odd_tool": lambda: _envelope(
        {"tool_calls": [{"id": "\0", "function": {"name": "\ud800" * 9_000, "arguments": "{"}}]}
    ),
}


async def _serve() -> None:
    made: dict[str, bytes] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                body = await reader.readexactly(length)
                name = body.partition(b"<<")[2].partition(b">>")[0].decode() or "fine"
                made[name] = made.get(name) or ANSWERS[name]()
                more = b"x-request-id: req-%b\r\n" % (b"r" * 5_000) if name == "endless_names" else b""
                writer.write(b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n" % (more, len(made[name])))
                writer.write(made[name])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2**26)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Hostile:
    """The server as a process; `base_url` is an OpenAI-shaped provider's."""

    def __enter__(self) -> Hostile:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.worker.hostile"], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.base_url = f"http://127.0.0.1:{int(self._process.stdout.readline())}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    asyncio.run(_serve())
