"""Connections to Postgres: to which server, how, and one clear line when it cannot be reached."""

from __future__ import annotations

import json
import re
from time import monotonic
from typing import Any, TypeVar

import orjson
import psycopg
from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor, pq
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import Row
from psycopg.types.json import set_json_loads

from llmreq.database import timestamps
from llmreq.database.embedded import ensure_running
from llmreq.errors import DatabaseUnavailableError
from llmreq.limits import DATABASE_CONNECT_SECONDS, LOOK_SILENCE_SECONDS, STATEMENT_SECONDS
from llmreq.settings import DATABASE_SCHEMES, Settings

RV = TypeVar("RV")

_DEFAULTS: dict[str, Any] = {
    "connect_timeout": DATABASE_CONNECT_SECONDS,
    # Whatever the database or role says: a label in Chinese must reach a worker of a LATIN1 database's user too.
    "client_encoding": "UTF8",
    # A server that vanished without a word is noticed in about a minute, not after the system's two hours.
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""For what the URL does not say itself. No `options`: PgBouncer refuses them (invariant 10)."""


_ANY_DIGIT = bytes.maketrans(b"123456789", b"000000000")
_MANY_DIGITS = b"0" * 19

_ONE_USER = re.compile(r"postgresql://([^@/]*@)?[^@/?]*(/[^@?]*)?(\?.*)?", re.DOTALL)
"""An @ stands only after the user, or in the query."""


def database_url(settings: Settings) -> str:
    """The URL of the database in force: the given one, else that of the embedded server, which it starts.

    Raises DatabaseUnavailableError when the embedded server cannot be started.
    """
    if settings.database_url is not None:
        return plain_url(settings.database_url)
    return ensure_running(settings.data_dir)


def plain_url(url: str) -> str:
    """The URL as libpq wants it: `postgres://` and SQLAlchemy's `postgresql+psycopg://` are accepted too."""
    scheme, _, rest = url.partition("://")
    return f"postgresql://{rest}" if scheme in DATABASE_SCHEMES else url


class BinaryCursor(Cursor[Row]):
    """Asks for results in binary: a role's DateStyle, IntervalStyle or bytea_output cannot change what is read."""

    def __init__(self, connection: Connection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = pq.Format.BINARY


class AsyncBinaryCursor(AsyncCursor[Row]):
    """The same for asyncio."""

    def __init__(self, connection: AsyncConnection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = pq.Format.BINARY


class BoundedConnection(Connection[Row]):
    """Gives a statement up when the server says nothing, and is closed then."""

    silence_seconds = LOOK_SILENCE_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        limits = {} if timeout is None else {"timeout": timeout}  # psycopg before 3.3 does not know it
        try:
            return super().wait(until_silent(gen, self.silence_seconds), interval, **limits)
        except SilentServerError:
            self.close()
            raise


def connect(url: str, *, application_name: str = "llmreq", bounded: bool = False) -> Connection[Any]:
    """A connection in autocommit that prepares nothing, so that PgBouncer may change the session under it.

    `bounded`: a statement that hears nothing for LOOK_SILENCE_SECONDS raises SilentServerError.
    Raises DatabaseUnavailableError, whose message holds no password.
    """
    kind = BoundedConnection if bounded else Connection
    try:
        connection = kind.connect(
            conninfo(url, application_name),
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=BinaryCursor,
        )
    except psycopg.OperationalError as error:
        raise unreachable(url, error) from None
    timestamps.register(connection)
    return connection


async def connect_async(url: str, *, application_name: str = "llmreq") -> AsyncConnection[Any]:
    """Like `connect`, for asyncio."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            conninfo(url, application_name),
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=AsyncBinaryCursor,
        )
    except psycopg.OperationalError as error:
        raise unreachable(url, error) from None
    set_json_loads(loads_exactly, connection)
    timestamps.register(connection)
    return connection


class SilentServerError(psycopg.OperationalError):
    """A server that may be working or gone; what it was asked to do may be done or not. Its connection is of no more use."""


def until_silent(gen: PQGen[RV], seconds: float) -> PQGen[RV]:
    """Drive one of psycopg's generators until it ends, or until nothing moved on its socket for so long.

    Bytes in either direction count: a large answer over a slow line is not silence; but STATEMENT_SECONDS are enough
    for any. Raises SilentServerError. Pure: psycopg's waiting functions resume it every tenth of a second at least.
    """
    began = moved = monotonic()
    try:
        waits_for = next(gen)
        while True:
            ready = yield waits_for
            now = monotonic()
            if ready:
                moved = now
            if now - moved > seconds or now - began > STATEMENT_SECONDS:
                raise SilentServerError(
                    f"Postgres did not answer within {now - began:.0f} s: the connection is given up"
                )
            waits_for = gen.send(ready)
    except StopIteration as end:
        result: RV = end.value
        return result


def loads_exactly(data: str | bytes) -> Any:
    """JSON as Postgres sent it; the fast parser would make floats of integers beyond 64 bits.

    Raises ValueError for what no double can hold and RecursionError or ValueError for what nests too deep.
    """
    raw = data.encode() if isinstance(data, str) else bytes(data)
    value = orjson.loads(raw)  # the strict one first: the exact one knows no bounds
    return json.loads(raw) if _MANY_DIGITS in raw.translate(_ANY_DIGIT) else value


def sqlalchemy_url(url: str) -> str:
    """The same address for SQLAlchemy and psycopg 3, password included: never print it."""
    import sqlalchemy as sa  # takes a fifth of a second, which most commands can do without

    given = _parameters(url)
    host, port = given.pop("host", None), given.pop("port", None)
    query = {name: str(value) for name, value in given.items() if name not in ("user", "password", "dbname")}
    if host is not None and not _is_single_host(host):
        # A socket folder, or several hosts: SQLAlchemy takes these from the query only.
        query["host"], host = host, None
        if port is not None:
            query["port"], port = str(port), None
    return sa.URL.create(
        "postgresql+psycopg",
        username=given.get("user"),
        password=given.get("password"),
        host=host,
        port=int(port) if port is not None else None,
        database=given.get("dbname"),
        query=query,
    ).render_as_string(hide_password=False)


def describe(url: str) -> str:
    """`database 'llmreq' at host:port as user`, for messages: no password, no parameters."""
    given = _parameters(url)
    host = given.get("host", "the local socket")
    port = f":{given['port']}" if "port" in given and not str(host).startswith("/") else ""
    user = f" as {given['user']!r}" if "user" in given else ""
    return f"database {given.get('dbname', given.get('user', ''))!r} at {host}{port}{user}"


def conninfo(url: str, application_name: str) -> str:
    """What libpq is told: the URL's own parameters, and ours where it has none."""
    return make_conninfo("", **{**_DEFAULTS, "application_name": application_name, **_parameters(url)})


def _parameters(url: str) -> dict[str, Any]:
    """The URL taken apart. It is refused here when a message about it could repeat a part of its password.

    That is so when an unescaped @ or / of the password made libpq look for host or database inside it.
    """
    plain = plain_url(url)
    try:
        given = conninfo_to_dict(plain)
    except psycopg.ProgrammingError:
        given = None
    ports = "" if given is None else str(given.get("port", "")).replace(",", "")
    if given is None or not (ports.isdigit() or ports == "") or not _ONE_USER.fullmatch(plain):
        raise DatabaseUnavailableError(
            "the database URL must be like postgresql://user:password@host:5432/database, with special"
            " characters of the password percent-encoded (@ is %40, / is %2F)"
        )
    return given


def _is_single_host(host: str) -> bool:
    return not host.startswith(("/", "@")) and "," not in host


def unreachable(url: str, error: psycopg.OperationalError) -> DatabaseUnavailableError:
    """libpq's error in one line with the remedy, without the password that may stand in its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0].rpartition(": ")[2] if lines else "no answer"
    return DatabaseUnavailableError(
        f"cannot reach {describe(url)}: {reason}; does Postgres run there? Check LLMREQ_DATABASE_URL"
        " (unset, the embedded one: llmreq pg start)"
    )
