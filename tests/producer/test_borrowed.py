"""The outbox: a request is committed or rolled back with the caller's own rows, whoever's connection it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from llmreq import AsyncClient, Client, InvalidRequestError
from llmreq.database.connection import sqlalchemy_url
from tests.engine.queue import Queue
from tests.producer.test_client import LUNA

Insert = Callable[[str], object]
"""The caller's own INSERT into their table, in the same transaction."""


@pytest.fixture
def engine(database: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(sqlalchemy_url(database), poolclass=sa.pool.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def orders(queue: Queue) -> Callable[[], list[str]]:
    """What stands in the caller's own table."""
    queue.run("CREATE TABLE orders (what text)")
    return lambda: [row["what"] for row in queue.all("SELECT what FROM orders")]


INSERT = "INSERT INTO orders VALUES ('a crane')"


@contextmanager
def by_psycopg(database: str) -> Iterator[tuple[Any, Any]]:
    # A row factory and a cursor of the caller's own taste change nothing for us.
    with psycopg.connect(database, row_factory=dict_row, cursor_factory=psycopg.RawCursor) as connection:
        connection.execute(INSERT)
        yield connection, connection


@contextmanager
def by_core(database: str) -> Iterator[tuple[Any, Any]]:
    with sa.create_engine(sqlalchemy_url(database), poolclass=sa.pool.NullPool).connect() as connection:
        connection.execute(sa.text(INSERT))
        yield connection, connection


@contextmanager
def by_orm(database: str) -> Iterator[tuple[Any, Any]]:
    with Session(sa.create_engine(sqlalchemy_url(database), poolclass=sa.pool.NullPool)) as session:
        session.execute(sa.text(INSERT))
        yield session, session


@contextmanager
def by_scoped_session(database: str) -> Iterator[tuple[Any, Any]]:
    engine = sa.create_engine(sqlalchemy_url(database), poolclass=sa.pool.NullPool)
    session = scoped_session(sessionmaker(engine))
    session.execute(sa.text(INSERT))
    yield session, session
    session.remove()


@pytest.mark.parametrize("ends", ["commit", "rollback"])
@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("opened", [by_psycopg, by_core, by_orm, by_scoped_session])
def test_a_request_lives_and_dies_with_the_callers_rows(
    client: Client, database: str, orders: Callable[[], list[str]], opened: Any, many: bool, ends: str
) -> None:
    with opened(database) as (lent, transaction):
        if many:
            client.enqueue_many([LUNA], connection=lent)
        else:
            client.enqueue(**LUNA, connection=lent)
        assert client.list() == []
        getattr(transaction, ends)()
    assert (len(client.list()), len(orders())) == ((1, 1) if ends == "commit" else (0, 0))


@pytest.mark.parametrize("many", [True, False])
def test_a_request_that_comes_first_in_the_transaction_is_rolled_back_too(
    client: Client, database: str, engine: sa.Engine, many: bool
) -> None:
    with psycopg.connect(database) as plain, engine.connect() as core, Session(engine) as session:
        for lent in (plain, core, session):
            if many:
                client.enqueue_many([LUNA], connection=lent)
            else:
                client.enqueue(**LUNA, connection=lent)
            lent.rollback()
    assert client.list() == []


def test_a_rolled_back_savepoint_takes_its_request_with_it(client: Client, engine: sa.Engine) -> None:
    with Session(engine) as session:
        kept = client.enqueue(**LUNA, connection=session)
        with session.begin_nested() as savepoint:
            client.enqueue_many([LUNA], connection=session)
            savepoint.rollback()
        session.commit()
    assert [request.id for request in client.list()] == [kept]


@pytest.fixture
def django(database: str) -> Iterator[Any]:
    """`django.db`, its default connection pointing at this test's database."""
    from django import setup
    from django.conf import settings

    given = conninfo_to_dict(database)
    if not settings.configured:
        settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}}, USE_TZ=False)
        setup()
    from django import db
    from django.db import transaction as _transaction  # noqa: F401 - makes it an attribute of django.db

    db.connections.settings["default"] |= {
        "NAME": given["dbname"],
        "HOST": given["host"],
        "PORT": str(given.get("port", 5432)),
        "USER": given["user"],
        "PASSWORD": given.get("password", ""),
    }
    yield db
    db.connection.close()
    del db.connections["default"]


@pytest.mark.parametrize("ends", ["commit", "rollback"])
@pytest.mark.parametrize("many", [True, False])
def test_a_request_lives_and_dies_in_djangos_atomic(
    client: Client, django: Any, orders: Callable[[], list[str]], many: bool, ends: str
) -> None:
    with django.transaction.atomic(), django.connection.cursor() as cursor:
        cursor.execute(INSERT)
        with django.transaction.atomic():  # a savepoint
            if many:
                client.enqueue_many([LUNA], connection=cursor)
            else:
                client.enqueue(**LUNA, connection=django.connection)
            assert client.list() == []
        django.transaction.set_rollback(ends == "rollback")
    assert (len(client.list()), len(orders())) == ((1, 1) if ends == "commit" else (0, 0))


def test_a_rolled_back_savepoint_of_django_takes_its_request_with_it(client: Client, django: Any) -> None:
    with django.transaction.atomic():
        kept = client.enqueue(**LUNA, connection=django.connection)
        with django.transaction.atomic():
            client.enqueue(**LUNA, connection=django.connection)
            django.transaction.set_rollback(True)
    assert [request.id for request in client.list()] == [kept]


def test_a_client_on_djangos_connection_reads_rows_as_its_own_would(client: Client, django: Any) -> None:
    ours = Client(connection=django.connection)  # not opened yet; Django reads jsonb as text, times as naive
    id = ours.enqueue(**LUNA, context={"n": 2**70})
    assert ours.get(id) == client.get(id)
    assert ours.enqueue_many([LUNA])[0] in {request.id for request in client.list()}


def test_sqlalchemys_asyncio_sessions_and_connections_are_borrowed(client: Client, database: str) -> None:
    from sqlalchemy.ext.asyncio import (
        AsyncSession,
        async_scoped_session,
        async_sessionmaker,
        create_async_engine,
    )

    async def scene() -> set[Any]:
        engine = create_async_engine(sqlalchemy_url(database), poolclass=sa.pool.NullPool)
        kept = set()
        scoped = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
        async with AsyncClient(database) as ours, AsyncSession(engine) as session, engine.connect() as core:
            for lent in (session, core, scoped):
                await ours.enqueue_many([LUNA], connection=lent)
                await ours.enqueue(**LUNA, connection=lent)
                await lent.rollback()
                kept |= {await ours.enqueue(**LUNA, connection=lent)}
                kept |= set(await ours.enqueue_many([LUNA], connection=lent))
                assert len(await ours.list()) == len(kept) - 2
                await lent.commit()
        await scoped.remove()
        await engine.dispose()
        return kept

    kept = asyncio.run(scene())
    assert {request.id for request in client.list()} == kept


class OtherDriver:
    """Stands for the connection of psycopg2 or asyncpg."""


OtherDriver.__module__ = "elsewhere.extensions"


@pytest.mark.parametrize(
    "lent",
    [OtherDriver(), SimpleNamespace(ensure_connection=lambda: None, connection=OtherDriver())],
    ids=["itself", "under Django"],
)
def test_another_driver_is_refused_with_what_to_do(client: Client, lent: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"of elsewhere\.extensions: llmreq needs psycopg 3"):
        client.enqueue(**LUNA, connection=lent)


def test_another_driver_of_asyncio_is_refused_too() -> None:
    with pytest.raises(InvalidRequestError, match=r"of elsewhere\.extensions: llmreq needs psycopg 3"):
        asyncio.run(AsyncClient().enqueue(**LUNA, connection=OtherDriver()))


def test_a_connection_of_the_other_kind_is_sent_to_the_other_client(
    client: Client, database: str, engine: sa.Engine, django: Any
) -> None:
    with psycopg.connect(database) as plain, Session(engine) as session:
        for lent in (plain, session, django.connection):
            with pytest.raises(InvalidRequestError, match="give it to Client"):
                asyncio.run(AsyncClient().enqueue(**LUNA, connection=lent))

    async def scene() -> None:
        from sqlalchemy.ext.asyncio import AsyncSession

        async with await psycopg.AsyncConnection.connect(database) as plain, AsyncSession() as session:
            for lent in (plain, session):
                with pytest.raises(InvalidRequestError, match="give it to AsyncClient"):
                    client.enqueue(**LUNA, connection=lent)

    asyncio.run(scene())


def test_an_answer_is_not_waited_for_in_the_transaction_that_asks(database: str) -> None:
    with psycopg.connect(database) as plain:
        ours = Client(connection=plain)
        for asks in (lambda: ours.ask(LUNA, dict[str, Any]), lambda: ours.run_tools(LUNA, {})):
            with pytest.raises(InvalidRequestError, match="before its transaction is committed"):
                asks()
