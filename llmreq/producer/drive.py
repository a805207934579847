"""Drives the steps of steps.py over a psycopg connection, blocking or not: the only place here that waits."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncCursor, Cursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.rows import dict_row

from llmreq.database import timestamps
from llmreq.database.connection import loads_exactly
from llmreq.errors import DatabaseUnavailableError, InvalidRequestError
from llmreq.producer.step import Copy, Invoke, Pause, Row, Step, Steps

T = TypeVar("T")
Connecting = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
AsyncConnecting = Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]]
"""A connection for one step, and nobody else's meanwhile: it may have broken since the last one."""

log = logging.getLogger(__name__)


def drive(steps: Steps[T], connecting: Connecting) -> T:
    """Run the steps to their result."""
    try:
        step = next(steps)
        while True:
            try:
                rows = _perform(step, connecting)
            except (psycopg.Error, DatabaseUnavailableError) as error:
                step = steps.throw(error)
            else:
                step = steps.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result
    except psycopg.Error as error:
        raise explained(error) from error


async def drive_async(steps: Steps[T], connecting: AsyncConnecting) -> T:
    """The same with an asyncio connection."""
    try:
        step = next(steps)
        while True:
            try:
                rows = await _perform_async(step, connecting)
            except (psycopg.Error, DatabaseUnavailableError) as error:
                step = steps.throw(error)
            else:
                step = steps.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result
    except psycopg.Error as error:
        raise explained(error) from error


def _perform(step: Step, connecting: Connecting) -> list[Row]:
    if isinstance(step, Pause):
        time.sleep(step.seconds)
        return []
    if isinstance(step, Invoke):
        return [_invoke(step)]
    with connecting() as connection, Cursor(connection, row_factory=dict_row) as cursor:
        if isinstance(step, Copy):
            with connection.transaction():
                for text, rows in step.groups:
                    with cursor.copy(text) as copy:
                        for row in rows:
                            copy.write_row(row)
            return []
        _read_as_ours(cursor)
        cursor.execute(step.text, step.parameters, binary=True)
        return cursor.fetchall()


async def _perform_async(step: Step, connecting: AsyncConnecting) -> list[Row]:
    if isinstance(step, Pause):
        await asyncio.sleep(step.seconds)
        return []
    if isinstance(step, Invoke):
        return [await _invoke_async(step)]
    async with connecting() as connection, AsyncCursor(connection, row_factory=dict_row) as cursor:
        if isinstance(step, Copy):
            async with connection.transaction():
                for text, rows in step.groups:
                    async with cursor.copy(text) as copy:
                        for row in rows:
                            await copy.write_row(row)
            return []
        _read_as_ours(cursor)
        await cursor.execute(step.text, step.parameters, binary=True)
        return await cursor.fetchall()


def _read_as_ours(cursor: Cursor[Row] | AsyncCursor[Row]) -> None:
    """Every type decoded as our own connections do, whatever the owner of a borrowed one made of it.

    Django, for one, reads jsonb as text. In the binary format, which neither DateStyle nor loaders of the owner's change.
    """
    cursor.adapters.register_loader("json", _Json)
    cursor.adapters.register_loader("jsonb", _Jsonb)
    timestamps.register(cursor)


class _Json(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        return _decoded(bytes(data))


class _Jsonb(_Json):
    def load(self, data: Buffer) -> Any:
        return _decoded(bytes(data)[1:])  # after the format's version


def _decoded(raw: bytes) -> Any:
    """The value; its text where Python can hold no such value: nested a thousand deep, or a number of 5,000 digits."""
    try:
        return loads_exactly(raw)
    except (ValueError, RecursionError):
        return raw.decode()


def _invoke(step: Invoke) -> Row:
    try:
        value = step.function(**step.arguments)
    except Exception as error:
        return _raised(step, error)
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise InvalidRequestError(f"{step.function} is asynchronous: give it to AsyncClient")
    return {"value": value}


async def _invoke_async(step: Invoke) -> Row:
    try:
        if inspect.iscoroutinefunction(step.function):
            return {"value": await step.function(**step.arguments)}
        # In a thread: it may block, and others share this loop.
        value = await asyncio.to_thread(step.function, **step.arguments)
        return {"value": await value if inspect.isawaitable(value) else value}
    except Exception as error:
        return _raised(step, error)


def _raised(step: Invoke, error: Exception) -> Row:
    log.warning("%s raised %s, which the model is told", step.function, type(error).__name__, exc_info=error)
    return {"error": error}


def explained(error: psycopg.Error) -> Exception:
    """A database error as ours where it has a name: a row refused, a database away or not migrated."""
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if (error.sqlstate or "").startswith("LQ"):
        return InvalidRequestError(line)
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedFunction):
        return DatabaseUnavailableError(f"{line}: run llmreq migrate")
    if isinstance(error, psycopg.errors.UniqueViolation):
        return InvalidRequestError(error.diag.message_detail or line)
    if isinstance(error, psycopg.errors.CheckViolation):
        return InvalidRequestError(line)  # its detail is the whole row, prompt included
    if isinstance(error, psycopg.OperationalError):
        return DatabaseUnavailableError(f"the database went away: {line}")
    return error
