"""Drives the steps of steps.py over a psycopg connection, blocking or not: the only place here that waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from llmreq.errors import DatabaseUnavailableError, InvalidRequestError
from llmreq.producer.steps import Copy, Pause, Row, Step, Steps

T = TypeVar("T")


def drive(steps: Steps[T], open_connection: Callable[[], psycopg.Connection[Any]]) -> T:
    """Run the steps to their result. Each asks for the connection anew: it may have broken meanwhile."""
    try:
        step = next(steps)
        while True:
            try:
                rows = _perform(step, open_connection)
            except (psycopg.Error, DatabaseUnavailableError) as error:
                step = steps.throw(error)
            else:
                step = steps.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result
    except psycopg.Error as error:
        raise explained(error) from error


async def drive_async(
    steps: Steps[T], open_connection: Callable[[], Awaitable[psycopg.AsyncConnection[Any]]]
) -> T:
    """The same with an asyncio connection."""
    try:
        step = next(steps)
        while True:
            try:
                rows = await _perform_async(step, open_connection)
            except (psycopg.Error, DatabaseUnavailableError) as error:
                step = steps.throw(error)
            else:
                step = steps.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result
    except psycopg.Error as error:
        raise explained(error) from error


def _perform(step: Step, open_connection: Callable[[], psycopg.Connection[Any]]) -> list[Row]:
    if isinstance(step, Pause):
        time.sleep(step.seconds)
        return []
    connection = open_connection()
    with connection.cursor(row_factory=dict_row) as cursor:
        if isinstance(step, Copy):
            with connection.transaction():
                for text, rows in step.groups:
                    with cursor.copy(text) as copy:
                        for row in rows:
                            copy.write_row(row)
            return []
        cursor.execute(step.text, step.parameters)
        return cursor.fetchall()


async def _perform_async(
    step: Step, open_connection: Callable[[], Awaitable[psycopg.AsyncConnection[Any]]]
) -> list[Row]:
    if isinstance(step, Pause):
        await asyncio.sleep(step.seconds)
        return []
    connection = await open_connection()
    async with connection.cursor(row_factory=dict_row) as cursor:
        if isinstance(step, Copy):
            async with connection.transaction():
                for text, rows in step.groups:
                    async with cursor.copy(text) as copy:
                        for row in rows:
                            await copy.write_row(row)
            return []
        await cursor.execute(step.text, step.parameters)
        return await cursor.fetchall()


def explained(error: psycopg.Error) -> Exception:
    """A database error as ours where it has a name: a row refused, a database away or not migrated."""
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if (error.sqlstate or "").startswith("LQ"):
        return InvalidRequestError(line)
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedFunction):
        return DatabaseUnavailableError(f"{line}: run llmreq migrate")
    if isinstance(error, psycopg.errors.UniqueViolation | psycopg.errors.CheckViolation):
        return InvalidRequestError(error.diag.message_detail or line)
    if isinstance(error, psycopg.OperationalError):
        return DatabaseUnavailableError(f"the database went away: {line}")
    return error
