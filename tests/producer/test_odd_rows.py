"""Rows that plain SQL made, or that were there before anybody checked: read like any other, by every client."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.types.numeric import FloatLoader
from sqlalchemy.orm import Session

from llmreq import AsyncClient, Client
from llmreq.database.connection import sqlalchemy_url
from llmreq.producer.request import Request
from tests.engine.queue import Queue
from tests.odd_rows import MOMENTS, READ, odd_request
from tests.producer.test_borrowed import django

__all__ = ["django"]  # a fixture


def moments(request: Request) -> set[Any]:
    return {getattr(request, name) for name in MOMENTS}


@pytest.mark.parametrize(("written", "read"), READ.items())
def test_a_moment_beyond_python_is_read_as_the_nearest_one(
    client: Client, queue: Queue, written: str, read: object
) -> None:
    id = odd_request(queue, status="completed", **dict.fromkeys(MOMENTS, written))
    assert moments(client.get(id)) == {read}
    assert moments(client.wait(id, 5)) == {read}
    assert [moments(request) for request in client.stream([id], 5)] == [{read}]
    assert [moments(request) for request in client.list()] == [{read}]


def test_every_borrowed_connection_reads_such_moments(
    client: Client, queue: Queue, database: str, django: Any
) -> None:
    id = odd_request(queue, status="completed", **dict.fromkeys(MOMENTS, "infinity"))
    expected = client.get(id)
    engine = sa.create_engine(sqlalchemy_url(database), poolclass=sa.pool.NullPool)
    with psycopg.connect(database) as plain, engine.connect() as core, Session(engine) as session:
        for lent in (plain, core, session, django.connection):
            assert Client(connection=lent).get(id) == expected


def test_asyncio_clients_read_such_moments_over_any_connection(queue: Queue, database: str) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    id = odd_request(queue, status="completed", **dict.fromkeys(MOMENTS, "-infinity"))

    async def scene() -> list[Request]:
        engine = create_async_engine(sqlalchemy_url(database), poolclass=sa.pool.NullPool)
        async with (
            AsyncClient(database) as ours,
            await psycopg.AsyncConnection.connect(database) as plain,
            AsyncSession(engine) as session,
        ):
            return [
                await ours.wait(id, 5),
                await AsyncClient(connection=plain).get(id),
                (await AsyncClient(connection=session).list())[0],
            ]

    assert [moments(request) for request in asyncio.run(scene())] == [{READ["-infinity"]}] * 3


def test_a_borrowed_connections_own_formats_do_not_reach_our_rows(client: Client, database: str) -> None:
    id = client.enqueue(content="x", provider="openai", model="gpt-6-luna", context={"a": [1]})
    with psycopg.connect(database) as lent:
        lent.execute("SET DateStyle = 'German, DMY'")
        lent.execute("SET TimeZone = 'UTC'")
        lent.adapters.register_loader("numeric", FloatLoader)
        assert Client(connection=lent).get(id) == client.get(id)


@pytest.mark.parametrize(
    "params",
    ['{"seed": 1e5000}', '{"seed": ' + "9" * 6000 + "}", '{"m": ' + "[" * 2000 + "]" * 2000 + "}"],
    ids=["a number beyond doubles", "six thousand digits", "two thousand levels"],
)
def test_json_that_python_cannot_hold_spoils_no_list(client: Client, queue: Queue, params: str) -> None:
    id = odd_request(queue, params=params, status="completed")
    client.enqueue(content="x", provider="openai", model="gpt-6-luna")
    assert len(client.list()) == 2
    assert client.get(id).params is not None
