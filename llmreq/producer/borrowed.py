"""The psycopg connection inside what a caller hands over: a request commits, or not, with its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from llmreq.errors import InvalidRequestError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

Borrowable: TypeAlias = psycopg.Connection[Any] | sa.Connection | Session
AsyncBorrowable: TypeAlias = "psycopg.AsyncConnection[Any] | AsyncConnection | AsyncSession"


def borrow(given: Borrowable) -> psycopg.Connection[Any]:
    """The psycopg connection itself, or the one under a SQLAlchemy Connection or Session, begun."""
    if isinstance(given, psycopg.Connection):
        return given
    connection = given.connection() if isinstance(given, Session) else given
    if not connection.in_transaction():
        connection.begin()  # else SQLAlchemy would not know that there is something to commit
    driver = connection.connection.driver_connection
    if isinstance(driver, psycopg.Connection):
        return driver
    raise _foreign(driver)


async def borrow_async(given: AsyncBorrowable) -> psycopg.AsyncConnection[Any]:
    """The same for asyncio."""
    if isinstance(given, psycopg.AsyncConnection):
        return given
    # Needs greenlet, which only those have who hand over one of these.
    from sqlalchemy.ext.asyncio import AsyncSession

    connection = await given.connection() if isinstance(given, AsyncSession) else given
    if not connection.in_transaction():
        await connection.begin()
    driver = (await connection.get_raw_connection()).driver_connection
    if isinstance(driver, psycopg.AsyncConnection):
        return driver
    raise _foreign(driver)


def _foreign(driver: object) -> InvalidRequestError:
    return InvalidRequestError(
        f"this connection is of driver {type(driver).__module__}: llmreq needs psycopg 3, "
        "as in create_engine('postgresql+psycopg://…'); or call llmreq_enqueue(…) in SQL"
    )
