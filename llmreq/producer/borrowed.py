"""The psycopg connection inside what a caller hands over: a request commits, or not, with its rows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy.orm import Session, scoped_session

from llmreq.errors import InvalidRequestError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession


class DjangoConnection(Protocol):
    """`django.db.connection`, or a connection of `django.db.connections`. Django itself is never imported."""

    connection: Any
    """The driver's connection; None until it is opened."""

    def ensure_connection(self) -> None:
        """Open it."""


class DjangoCursor(Protocol):
    """What `django.db.connection.cursor()` gives."""

    db: DjangoConnection


Borrowable: TypeAlias = (
    "psycopg.Connection[Any] | sa.Connection | Session | scoped_session[Any]"
    " | DjangoConnection | DjangoCursor"
)  # fmt: skip
AsyncBorrowable: TypeAlias = "psycopg.AsyncConnection[Any] | AsyncConnection | AsyncSession"


_BLOCKING = (psycopg.Connection, sa.Connection, Session, scoped_session)


def borrow(given: Borrowable) -> psycopg.Connection[Any]:
    """The psycopg connection itself, or the one under a SQLAlchemy or Django object, begun.

    Raises InvalidRequestError for another driver's.
    """
    driver = _driver_of(given)
    if isinstance(driver, psycopg.Connection):
        return driver
    raise _foreign(driver)


async def borrow_async(given: AsyncBorrowable) -> psycopg.AsyncConnection[Any]:
    """The same for asyncio."""
    driver = await _async_driver_of(given)
    if isinstance(driver, psycopg.AsyncConnection):
        return driver
    raise _foreign(driver)


def must_commit(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Raise InvalidRequestError when what is inserted here stays invisible to workers for now."""
    if not connection.autocommit or connection.info.transaction_status != TransactionStatus.IDLE:
        raise InvalidRequestError(
            "no worker sees a request before its transaction is committed, so this one would never end:"
            " use a Client with a connection of its own"
        )


def _driver_of(given: Any) -> Any:
    if isinstance(given, scoped_session):
        given = given()
    if isinstance(given, Session):
        given = given.connection()
    if isinstance(given, sa.Connection):
        if not given.in_transaction():
            given.begin()  # else SQLAlchemy would not know that there is something to commit
        return given.connection.driver_connection
    django = getattr(given, "db", given)  # a cursor's connection
    if callable(getattr(django, "ensure_connection", None)):
        django.ensure_connection()
        return django.connection
    return given


async def _async_driver_of(given: Any) -> Any:
    if isinstance(given, psycopg.AsyncConnection):
        return given
    if "sqlalchemy.ext.asyncio" not in sys.modules:
        return given
    # It needs greenlet, which only those have who hand over one of these.
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    if isinstance(given, async_scoped_session):
        given = given()
    if isinstance(given, AsyncSession):
        given = await given.connection()
    if isinstance(given, AsyncConnection):
        if not given.in_transaction():
            await given.begin()
        return (await given.get_raw_connection()).driver_connection
    return given


def _foreign(driver: object) -> InvalidRequestError:
    module = type(driver).__module__
    if isinstance(driver, psycopg.AsyncConnection) or module.startswith("sqlalchemy.ext.asyncio"):
        return InvalidRequestError("this connection is for asyncio: give it to AsyncClient")
    if isinstance(driver, _BLOCKING) or hasattr(getattr(driver, "db", driver), "ensure_connection"):
        return InvalidRequestError("this connection is not for asyncio: give it to Client")
    return InvalidRequestError(
        f"this connection is of {module}: llmreq needs psycopg 3, as in"
        " create_engine('postgresql+psycopg://…') or Django's ENGINE with psycopg installed;"
        " or call llmreq_enqueue(…) in SQL"
    )
