"""The steps that the plans of this room yield: what to do next, without doing it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from psycopg import sql

from llmreq.database.statements import statement
from llmreq.producer.columns import Value

Row: TypeAlias = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """Run one statement; the generator is sent its rows."""

    text: sql.SQL | sql.Composed
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy all groups, each a COPY statement and its rows, or none of them."""

    groups: Sequence[tuple[sql.Composed, Sequence[Sequence[Value]]]]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait without holding a connection."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Invoke:
    """Call a function of the caller's; the generator is sent one row, {"value"} or the {"error"} it raised."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any]


Step: TypeAlias = Query | Copy | Pause | Invoke
Steps: TypeAlias = Generator[Step, list[Row], T]


def sql_of(name: str) -> sql.SQL:
    """A statement of sql/queries."""
    return sql.SQL(statement(name))
