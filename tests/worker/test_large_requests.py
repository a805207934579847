"""Large prompts leave no faster than the provider takes them, in parts, and stop when it has refused them."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from llmreq.wire.outcome import HttpRequest, HttpResponse
from llmreq.worker.send_error import SendError
from llmreq.worker.sender import Sender, open_sender
from tests.worker.wire_server import OK, WAYS, Server, Wire, until

MB = 2**20
BODY = bytes(range(256)) * (20 * MB // 256)
Run = Callable[[Coroutine[Any, Any, Any]], Any]
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


def large(url: str) -> HttpRequest:
    return HttpRequest(url, {"content-type": "application/json"}, BODY)


@on_both_loops
@pytest.mark.parametrize("way", WAYS, ids=["direct", "proxied"])
def test_a_large_request_arrives_whole_and_its_connection_is_kept(way: type[Sender], run: Run) -> None:
    digests: list[str] = []

    async def digesting(wire: Wire) -> None:
        while request := await wire.request():
            digests.append(hashlib.sha256(request.split(b"\r\n\r\n", 1)[1]).hexdigest())
            await wire.say(OK)

    async def main() -> int:
        async with Server(digesting) as server:
            sender = way()
            for _ in range(2):
                assert (await sender.send(large(server.url), timeout_seconds=20)).status == 200
            await sender.close()
            return server.connections

    assert run(main()) == 1
    assert digests == [hashlib.sha256(BODY).hexdigest()] * 2


@on_both_loops
@pytest.mark.parametrize("way", WAYS, ids=["direct", "proxied"])
def test_a_request_that_is_not_taken_stands_in_no_buffer(way: type[Sender], run: Run) -> None:
    """The one copy is the caller's: ten of these would be 200 MB, and as much again for each copy."""

    async def main() -> int:
        arrived = 0
        done = asyncio.Event()

        async def not_reading(wire: Wire) -> None:
            nonlocal arrived
            arrived += 1
            await done.wait()

        async with Server(not_reading) as server:
            sender = way()
            tracemalloc.start()
            calls = [
                asyncio.create_task(sender.send(large(server.url), timeout_seconds=30)) for _ in range(10)
            ]
            await until(lambda: arrived == 10)
            await asyncio.sleep(0.1)  # for whoever would go on copying
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            for each in calls:
                each.cancel()
            await asyncio.wait(calls)
            await sender.close()
            done.set()
            return most

    assert run(main()) < 10 * MB


@on_both_loops
@pytest.mark.parametrize("way", WAYS, ids=["direct", "proxied"])
def test_a_prompt_that_was_sent_is_not_kept_until_the_answer_comes(way: type[Sender], run: Run) -> None:
    async def main() -> int:
        answer = asyncio.Event()

        async def thinking(wire: Wire) -> None:
            left = 20 * MB
            await wire.reader.readuntil(b"\r\n\r\n")
            while left:
                left -= len(await wire.reader.read(MB))
            thought.set()
            await answer.wait()
            await wire.say(OK)

        thought = asyncio.Event()
        async with Server(thinking) as server:
            sender = way()
            tracemalloc.start()
            sending = sender.send(HttpRequest(server.url, {}, bytes(20 * MB)), timeout_seconds=30)
            call = asyncio.create_task(sending)
            del sending
            await thought.wait()
            for _ in range(10):  # turns of the loop, for the last part to leave
                await asyncio.sleep(0)
            kept, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            answer.set()
            assert (await call).status == 200
            await sender.close()
            return kept

    assert run(main()) < 10 * MB


@on_both_loops
def test_a_refusal_that_comes_before_the_end_of_the_request_is_the_answer(run: Run) -> None:
    async def main() -> tuple[HttpResponse, int]:
        done = asyncio.Event()

        async def refusing(wire: Wire) -> None:
            await wire.reader.readuntil(b"\r\n\r\n")
            await wire.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\n413")
            await done.wait()

        async with Server(refusing) as server:
            sender = open_sender()
            responses = [await sender.send(large(server.url), timeout_seconds=10) for _ in range(2)]
            await sender.close()
            done.set()
            return responses[1], server.connections

    response, connections = run(main())
    assert (response.status, response.body) == (413, b"413")
    assert connections == 2  # the rest of the first request would have been taken for the second


@on_both_loops
def test_a_connection_that_breaks_while_the_request_is_written_ends_the_call_at_once(run: Run) -> None:
    async def leaving(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")

    async def main() -> SendError:
        async with Server(leaving) as server:
            sender = open_sender()
            with pytest.raises(SendError) as raised:
                await sender.send(large(server.url), timeout_seconds=30)
            await sender.close()
            return raised.value

    assert run(asyncio.wait_for(main(), 10)).kind == "unknown"
