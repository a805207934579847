"""Connections: safe behind PgBouncer, found again by SQLAlchemy, and silent about passwords."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import quote

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from llmreq.database.connection import (
    connect,
    connect_async,
    database_url,
    describe,
    sqlalchemy_url,
)
from llmreq.errors import DatabaseUnavailableError
from llmreq.settings import Settings

SECRET = "Xq7secret"


def test_a_connection_prepares_nothing_and_opens_no_transaction(empty_database: str) -> None:
    with connect(empty_database, application_name="llmreq test") as connection:
        for _ in range(10):  # psycopg would prepare at the fifth
            connection.execute("SELECT %s::int", [1])
        assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        assert connection.execute("SHOW application_name").fetchone() == ("llmreq test",)


def test_an_asynchronous_connection_is_the_same(empty_database: str) -> None:
    async def look() -> tuple[object, object]:
        async with await connect_async(empty_database) as connection:
            for _ in range(10):
                await connection.execute("SELECT %s::int", [1])
            found = await (await connection.execute("SELECT count(*) FROM pg_prepared_statements")).fetchone()
            return found, connection.info.transaction_status

    assert asyncio.run(look()) == ((0,), psycopg.pq.TransactionStatus.IDLE)


def test_the_url_s_own_parameters_win(empty_database: str) -> None:
    with connect(f"{empty_database}&application_name=mine&connect_timeout=9") as connection:
        parameters = connection.info.get_parameters()
    assert (parameters["application_name"], parameters["connect_timeout"]) == ("mine", "9")
    assert (parameters["keepalives_idle"], parameters["tcp_user_timeout"]) == ("30", "30000")


def test_sqlalchemy_reaches_the_same_database_under_either_scheme(empty_database: str) -> None:
    for url in (empty_database, empty_database.replace("postgresql://", "postgresql+psycopg://")):
        engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            name = connection.exec_driver_sql("SELECT current_database()").scalar()
        assert name is not None
        assert f"/{name}?" in empty_database
        connect(url).close()


def test_a_given_url_wins_over_the_embedded_server() -> None:
    assert database_url(Settings(database_url="postgresql+psycopg://h/db")) == "postgresql://h/db"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%40@h:1/d?sslmode=require", "postgresql+psycopg://u:p%40@h:1/d?sslmode=require"),
        ("postgres://h/d", "postgresql+psycopg://h/d"),
        ("postgresql:///d?host=/run/pg", "postgresql+psycopg:///d?host=%2Frun%2Fpg"),
        ("postgresql://a:1,b:2/d", "postgresql+psycopg:///d?host=a%2Cb&port=1%2C2"),
    ],
)
def test_every_form_of_address_has_its_sqlalchemy_form(url: str, expected: str) -> None:
    assert sqlalchemy_url(url) == expected


@given(st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_password_survives_the_way_to_sqlalchemy(password: str) -> None:
    url = f"postgresql://me:{quote(password, safe='')}@h:1/d"
    assert sa.make_url(sqlalchemy_url(url)).password == password
    assert describe(url) == "database 'd' at h:1 as 'me'"


def test_an_unreachable_server_is_one_line_with_the_remedy_and_no_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refuses connections
        url = f"postgresql://me:{SECRET}@127.0.0.1:{taken.getsockname()[1]}/db?connect_timeout=2"
        for attempt in (lambda: connect(url), lambda: asyncio.run(connect_async(url))):
            with pytest.raises(
                DatabaseUnavailableError, match=r"^cannot reach database 'db' at 127\.0\.0\.1:"
            ) as caught:
                attempt()
            assert "refused" in str(caught.value)
            assert "LLMREQ_DATABASE_URL" in str(caught.value)
            _is_one_safe_line(caught.value)


@pytest.mark.parametrize(
    "password",
    [
        f"a@{SECRET}",
        f"a/{SECRET}",
        f"%{SECRET}",
        f"a:b/{SECRET}",
        f"a@b:{SECRET}",
        f"/{SECRET}@{SECRET}",
        f"1?x/{SECRET}",
    ],
)
def test_a_password_that_breaks_the_url_is_not_repeated(password: str) -> None:
    url = f"postgresql://me:{password}@127.0.0.1:1/db"
    for attempt in (lambda: connect(url), lambda: sqlalchemy_url(url), lambda: describe(url)):
        with pytest.raises(DatabaseUnavailableError, match="percent-encoded") as caught:
            attempt()
        _is_one_safe_line(caught.value)


def test_a_database_that_is_missing_is_named(empty_database: str) -> None:
    address, _, query = empty_database.partition("?")
    with pytest.raises(DatabaseUnavailableError, match=r"database 'nowhere'.*does not exist"):
        connect(f"{address.rpartition('/')[0]}/nowhere?{query}")


def test_the_fixtures_of_pytest_postgresql_have_our_schema(postgresql: psycopg.Connection[object]) -> None:
    assert postgresql.execute("SELECT count(*) FROM llm_requests").fetchone() == (0,)


def _is_one_safe_line(error: DatabaseUnavailableError) -> None:
    assert "\n" not in str(error)
    assert SECRET not in str(error)
    assert error.__context__ is None or error.__suppress_context__, (
        "a traceback would print libpq's own message"
    )
