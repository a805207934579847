"""`python -m llmreq.simulator`: the simulator as a process of its own; prints one JSON line when it listens."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

import orjson

from llmreq.simulator.app import App
from llmreq.simulator.bill import Bill
from llmreq.simulator.server import serve


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted or, with --with-parent, until standard input ends."""
    parser = argparse.ArgumentParser(prog="llmreq.simulator")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", default="0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ledger", type=Path)
    parser.add_argument("--with-parent", action="store_true")
    given = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        copy = stack.enter_context(given.ledger.open("a")) if given.ledger else None
        app = App(Bill(copy), latency_ms=given.latency_ms, seed=given.seed)
        with contextlib.suppress(KeyboardInterrupt):
            run(app, given.port, with_parent=given.with_parent)


def run(app: App, port: int, *, with_parent: bool) -> None:
    """Serve the app, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(_run(app, port, with_parent))
    else:
        uvloop.run(_run(app, port, with_parent))


async def _run(app: App, port: int, with_parent: bool) -> None:
    server = await serve(app.handle, port)
    port = server.sockets[0].getsockname()[1]
    line = {
        "event": "listening",
        "port": port,
        "openai_base_url": f"http://127.0.0.1:{port}/v1",
        "anthropic_base_url": f"http://127.0.0.1:{port}",
    }
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()
    if with_parent:
        # The parent holds the other end: when it is gone, so is this.
        await asyncio.to_thread(sys.stdin.buffer.read)
        server.close()
    else:
        await server.serve_forever()


if __name__ == "__main__":
    main()
