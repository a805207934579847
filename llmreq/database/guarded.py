"""A worker's connection: it gives up on a server that says nothing, and meets no setting that it cannot work under.

Silence. A connection can be half open: its packets are acknowledged, by a proxy or by nobody at all, and no answer ever
comes. TCP's own time-outs do not see it, so each statement has a deadline here, restarted by every byte.

Settings. A role or a database can carry defaults the engine cannot work under, such as serializable transactions. They are
looked at once per connection; where one is in the way, each statement runs in a transaction of its own that sets what it
needs for itself alone, which PgBouncer in transaction mode bears (invariant 10). Everywhere else nothing is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncCursor, capabilities, pq, waiting
from psycopg.abc import PQGen
from psycopg.rows import Row, dict_row
from psycopg.types.json import set_json_loads

from llmreq.database.connection import (
    AsyncBinaryCursor,
    conninfo,
    describe,
    loads_exactly,
    unreachable,
    until_silent,
)
from llmreq.database.statements import statement
from llmreq.errors import DatabaseUnavailableError
from llmreq.limits import (
    CANCEL_SECONDS,
    LOOK_SILENCE_SECONDS,
    PINNED_TIMEOUT_SECONDS,
    SETTLE_SILENCE_SECONDS,
)

RV = TypeVar("RV")

_SWITCHES = ("standard_conforming_strings", "array_nulls")
_TIMEOUTS = ("statement_timeout", "lock_timeout", "transaction_timeout")


class GuardedConnection(AsyncConnection[Row]):
    """In autocommit, nothing prepared. After any error, and after a cancellation, only `abandon` is of use."""

    silence_seconds: float = LOOK_SILENCE_SECONDS
    """How long a statement may go without a byte: SilentServerError then."""
    pinned: Mapping[str, str] | None = None
    """What each statement's transaction must set. None, as a rule: statements need no transaction of their own."""

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """As psycopg's, but for two things: silence ends it, and a cancellation ends it at once.

        psycopg would answer a cancellation by asking the server to stop, and wait until it has.
        """
        limits = {} if timeout is None else {"timeout": timeout}  # psycopg before 3.3 does not know it
        bounded = until_silent(gen, self.silence_seconds)
        return await waiting.wait_async(bounded, self.pgconn.socket, interval=interval, **limits)

    async def abandon(self) -> None:
        """Close at once, whatever the connection is doing; a server that still listens is told to stop its statement."""
        if self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE and capabilities.has_cancel_safe():
            with suppress(psycopg.Error):  # as dead as the connection
                await self.cancel_safe(timeout=CANCEL_SECONDS)
        await self.close()  # frees the socket; waits for nothing


class PinnedCursor(AsyncBinaryCursor[Row]):
    """Runs each statement in a transaction of its own, read committed, with its connection's `pinned` settings."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        connection: Any = self.connection
        around = AsyncCursor(connection)
        await around.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            if connection.pinned:
                names, values = list(connection.pinned), list(connection.pinned.values())
                await around.execute(statement("pin_settings"), {"names": names, "values": values})
            await super().execute(query, params, **options)
            await around.execute("COMMIT")
        except psycopg.Error:
            if connection.pgconn.transaction_status == pq.TransactionStatus.INERROR:
                await around.execute("ROLLBACK")  # as in autocommit, the next statement stands by itself
            raise
        return self


async def connect_guarded(url: str, *, application_name: str) -> GuardedConnection[Any]:
    """Open a connection and look at its settings. Raises DatabaseUnavailableError, also for a read-only database."""
    try:
        connection = await GuardedConnection.connect(
            conninfo(url, application_name), autocommit=True, prepare_threshold=None
        )
    except psycopg.OperationalError as error:
        raise unreachable(url, error) from None
    set_json_loads(loads_exactly, connection)
    connection.cursor_factory = AsyncBinaryCursor
    try:
        connection.pinned = await _to_pin(connection, url)
    except BaseException:
        await connection.abandon()
        raise
    if connection.pinned is not None:
        connection.cursor_factory = PinnedCursor
    return connection


async def _to_pin(connection: GuardedConnection[Any], url: str) -> dict[str, str] | None:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("session_settings"))
        found = await cursor.fetchone()
        assert found is not None  # one row, always
    if found["read_only"]:
        raise DatabaseUnavailableError(_read_only(url, found))
    pinned = {name: "on" for name in _SWITCHES if found[name] != "on"}
    # A longer one is the operator's wish, and does no harm.
    short = [name for name in _TIMEOUTS if 0 < (found[name] or 0) < SETTLE_SILENCE_SECONDS]
    pinned |= dict.fromkeys(short, f"{PINNED_TIMEOUT_SECONDS:g}s")
    return pinned if pinned or found["isolation"] != "read committed" else None


def _read_only(url: str, found: Mapping[str, Any]) -> str:
    if found["standby"]:
        return f"{describe(url)} is a standby, which nobody can write to: name the primary in LLMREQ_DATABASE_URL"
    return (
        f"{describe(url)} is read-only for this role: run"
        f" ALTER ROLE {found['role']} SET default_transaction_read_only = off (or ALTER DATABASE, where it is set there)"
    )
