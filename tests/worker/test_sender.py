"""One request, one response or one clear error; against servers that misbehave on the wire."""

from __future__ import annotations

import asyncio
import gc
import gzip
import ssl
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from llmreq.wire.outcome import HttpRequest, HttpResponse
from llmreq.worker import answer_body, http_connection
from llmreq.worker.send_error import SendError
from llmreq.worker.sender import Sender, open_sender
from tests.worker.wire_server import KEY, OK, WAYS, Serve, Server, Wire, answered, ask, outcome


async def cut_in_the_body(wire: Wire) -> None:
    await wire.request()
    await wire.say(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")


async def cut_before_a_byte(wire: Wire) -> None:
    await wire.request()


async def not_http(wire: Wire) -> None:
    await wire.request()
    await wire.say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def silent(wire: Wire) -> None:
    await wire.request()
    await wire.gone()


async def dripping(wire: Wire) -> None:
    await wire.request()
    await wire.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    try:
        while True:
            await wire.say(b" ")
            await asyncio.sleep(0.01)
    except ConnectionError:
        pass


async def large(wire: Wire) -> None:
    await wire.request()
    await wire.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000)


async def gzip_bomb(wire: Wire) -> None:
    await wire.request()
    body = gzip.compress(b"x" * 200_000)
    await wire.say(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )


@pytest.mark.parametrize(
    ("serve", "kind"),
    [
        (cut_in_the_body, "unknown"),
        (cut_before_a_byte, "unknown"),
        (not_http, "unknown"),
        (silent, "timeout"),
        (dripping, "timeout"),
        (large, "too_large"),
        (gzip_bomb, "too_large"),
    ],
)
@pytest.mark.parametrize("way", WAYS, ids=["direct", "proxied"])
def test_what_goes_wrong_on_the_wire_has_its_kind_and_is_sent_once(
    way: Callable[[], Sender], serve: Serve, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_body, "MAX_ANSWER_BYTES", 4096)
    monkeypatch.setattr(http_connection, "UNMETERED_ANSWER_BYTES", 1024)
    error, server = asyncio.run(outcome(serve, 0.3 if kind == "timeout" else 5.0, way))
    assert isinstance(error, SendError)
    assert error.kind == kind
    assert len(server.requests) == 1
    for text in (str(error), repr(error)):
        assert KEY not in text
        assert "secret-path" not in text
        assert "\n" not in text


def test_a_refused_connection_was_never_sent() -> None:
    async def main() -> SendError:
        async with Server(answered) as server:
            url = server.url
        sender = open_sender()
        try:
            with pytest.raises(SendError) as raised:
                await sender.send(ask(url), timeout_seconds=5)
            return raised.value
        finally:
            await sender.close()

    assert asyncio.run(main()).kind == "not_sent"


def test_a_name_that_does_not_exist_was_never_sent() -> None:
    async def main() -> SendError:
        sender = open_sender()
        try:
            with pytest.raises(SendError) as raised:
                await sender.send(ask("http://no-such-host.invalid/v1"), timeout_seconds=5)
            return raised.value
        finally:
            await sender.close()

    error = asyncio.run(main())
    assert (error.kind, "invalid" in error.message) == ("not_sent", False)


def test_a_cancelled_or_timed_out_call_is_really_cut() -> None:
    async def main() -> list[bool]:
        left = [asyncio.Event(), asyncio.Event()]
        arrived = asyncio.Event()
        turn = iter(left)

        async def watch(wire: Wire) -> None:
            mine = next(turn)
            await wire.request()
            arrived.set()
            await wire.gone()
            mine.set()

        async with Server(watch) as server:
            sender = open_sender()
            with pytest.raises(SendError):
                await sender.send(ask(server.url), timeout_seconds=0.2)
            arrived.clear()
            call = asyncio.create_task(sender.send(ask(server.url), timeout_seconds=60))
            await arrived.wait()
            call.cancel()
            async with asyncio.timeout(5):
                for event in left:
                    await event.wait()
            await sender.close()
            return [event.is_set() for event in left]

    assert asyncio.run(main()) == [True, True]


def test_a_failed_call_leaves_no_cycle_that_keeps_its_prompt_in_memory() -> None:
    class Prompt:
        """Whatever the caller holds while it calls."""

    async def main() -> bool:
        async with Server(cut_in_the_body) as server:
            sender = open_sender()

            async def call() -> weakref.ref[Prompt]:
                prompt = Prompt()
                with suppress(SendError):
                    await sender.send(ask(server.url), timeout_seconds=5)
                return weakref.ref(prompt)

            await call()
            gc.disable()
            try:
                kept = await asyncio.create_task(call())
                await asyncio.sleep(0)
                return kept() is None
            finally:
                gc.enable()
                await sender.close()

    assert asyncio.run(main())


def test_a_kept_connection_that_the_server_closed_never_leads_to_a_second_sending() -> None:
    async def main() -> tuple[int, list[str]]:
        async def answer_once(wire: Wire) -> None:
            if await wire.request():
                await wire.say(OK)  # and close, without having said so

        async with Server(answer_once) as server:
            sender = open_sender()
            ends = []
            for _ in range(20):
                try:
                    ends.append(str((await sender.send(ask(server.url), timeout_seconds=5)).status))
                except SendError as error:
                    ends.append(error.kind)
            await sender.close()
            return len(server.requests), ends

    requests, ends = asyncio.run(main())
    assert set(ends) <= {"200", "unknown", "not_sent"}
    assert requests <= 20
    assert requests >= ends.count("200")


def test_a_redirect_is_an_answer_and_carries_no_key_elsewhere() -> None:
    async def main() -> tuple[Any, int]:
        async with Server(answered) as elsewhere:

            async def redirect(wire: Wire) -> None:
                await wire.request()
                await wire.say(
                    f"HTTP/1.1 302 Found\r\nlocation: {elsewhere.url}\r\ncontent-length: 0\r\n\r\n".encode()
                )

            response, _ = await outcome(redirect)
            return response, len(elsewhere.requests)

    response, requests = asyncio.run(main())
    assert (response.status, requests) == (302, 0)


def test_a_compressed_answer_is_unpacked() -> None:
    async def packed(wire: Wire) -> None:
        await wire.request()
        body = gzip.compress(b'{"a": 1}')
        await wire.say(
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )

    response, _ = asyncio.run(outcome(packed))
    assert isinstance(response, HttpResponse)
    assert response.body == b'{"a": 1}'


def test_connections_are_kept_and_hundreds_of_calls_are_in_flight_at_once() -> None:
    async def main() -> tuple[int, int, int]:
        waiting = 0
        connections = 0
        full = asyncio.Event()

        async def together(wire: Wire) -> None:
            nonlocal waiting, connections
            connections += 1
            while await wire.request():
                waiting += 1
                if waiting >= 512:
                    full.set()
                await full.wait()
                await wire.say(OK)

        async with Server(together) as server:
            sender = open_sender()
            for _ in range(2):
                answers = await asyncio.gather(
                    *(sender.send(ask(server.url), timeout_seconds=30) for _ in range(512))
                )
                assert {answer.status for answer in answers} == {200}
            await sender.close()
            return waiting, connections, len(server.requests)

    waiting, connections, requests = asyncio.run(main())
    assert (waiting, connections, requests) == (1024, 512, 1024)


def test_a_proxy_of_the_environment_is_used_and_its_exceptions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[int, int]:
        async with Server(answered) as proxy, Server(answered) as direct:
            monkeypatch.setenv("http_proxy", proxy.url.rpartition("/v1")[0])
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            sender = open_sender()
            await sender.send(ask("http://provider.test/v1"), timeout_seconds=5)
            await sender.send(ask(direct.url), timeout_seconds=5)
            await sender.close()
            assert proxy.requests[0].startswith(b"POST http://provider.test/v1 HTTP/1.1")
            return len(proxy.requests), len(direct.requests)

    assert asyncio.run(main()) == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n: 1\r\n1\r\n}\r\n0\r\n\r\n',
        b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{"a": 1}',
        b'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{"a": 1}',
        b'HTTP/1.0 200 OK\r\ncontent-length: 8\r\n\r\n{"a": 1}',
    ],
    ids=["chunked", "continue", "until the end", "1.0"],
)
def test_every_form_of_a_whole_answer_is_read(answer: bytes) -> None:
    async def said(wire: Wire) -> None:
        await wire.request()
        for start in range(0, len(answer), 7):  # in pieces, as networks bring it
            await wire.say(answer[start : start + 7])

    response, _ = asyncio.run(outcome(said))
    assert isinstance(response, HttpResponse)
    assert (response.status, response.body) == (200, b'{"a": 1}')


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("ftp://provider.test/v1", {}),
        ("http:///v1", {}),
        ("http://provider.test:99999/v1", {}),
        ("http://127.0.0.1:1/v1", {"authorization": "Bearer x\r\nevil: yes"}),
        ("http://127.0.0.1:1/v1", {"authorization": "Bearer \u4f60"}),
    ],
)
def test_what_cannot_be_said_in_http_is_not_sent(url: str, headers: dict[str, str]) -> None:
    async def main() -> SendError:
        sender = open_sender()
        with pytest.raises(SendError) as raised:
            await sender.send(HttpRequest(url, headers, b"{}"), timeout_seconds=5)
        await sender.close()
        return raised.value

    error = asyncio.run(main())
    assert error.kind == "not_sent"
    assert "evil" not in error.message


TLS = Path(__file__).parent / "tls"


@pytest.mark.parametrize(
    ("trusted", "host", "expected"),
    [(True, "127.0.0.1", "200"), (False, "127.0.0.1", "not_sent"), (True, "localhost", "not_sent")],
    ids=["trusted", "not trusted", "another name"],
)
def test_only_a_certificate_that_is_trusted_and_names_the_host_gets_the_key(
    trusted: bool, host: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> tuple[str, int]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
        requests = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal requests
            requests += bool(await Wire(reader, writer).request())
            writer.write(OK)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        sender = open_sender()
        try:
            url = f"https://{host}:{server.sockets[0].getsockname()[1]}/v1"
            response = await sender.send(ask(url), timeout_seconds=5)
            return str(response.status), requests
        except SendError as error:
            return error.kind, requests
        finally:
            await sender.close()
            server.close()

    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    assert asyncio.run(main()) == (expected, 1 if expected == "200" else 0)
