"""The psycopg connection inside what a caller hands over: so that a request commits, or not, with the caller's own rows."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from llmreq.errors import InvalidRequestError

Borrowable = psycopg.Connection[Any] | sa.Connection | Session
AsyncBorrowable = psycopg.AsyncConnection[Any] | AsyncConnection | AsyncSession


def borrow(given: Borrowable) -> psycopg.Connection[Any]:
    """A psycopg connection, or the one under a SQLAlchemy Connection or Session, whose transaction is begun."""
    if isinstance(given, psycopg.Connection):
        return given
    connection = given.connection() if isinstance(given, Session) else given
    if not connection.in_transaction():
        connection.begin()  # else SQLAlchemy would not know that there is something to commit
    return _of_psycopg(connection.connection.driver_connection, psycopg.Connection)


async def borrow_async(given: AsyncBorrowable) -> psycopg.AsyncConnection[Any]:
    """The same for asyncio."""
    if isinstance(given, psycopg.AsyncConnection):
        return given
    connection = await given.connection() if isinstance(given, AsyncSession) else given
    if not connection.in_transaction():
        await connection.begin()
    raw = await connection.get_raw_connection()
    return _of_psycopg(raw.driver_connection, psycopg.AsyncConnection)


def _of_psycopg(driver_connection: Any, kind: type[Any]) -> Any:
    if not isinstance(driver_connection, kind):
        raise InvalidRequestError(
            f"this connection is of driver {type(driver_connection).__module__}: llmreq needs psycopg 3, "
            "as in create_engine('postgresql+psycopg://…'); or call llmreq_enqueue(…) in SQL"
        )
    return driver_connection
