"""What a database error means for the work it met: try again, ask who holds the lock, or look for the one bad row. Pure."""

from __future__ import annotations

from enum import Enum, auto

import psycopg


class Fault(Enum):
    """Kinds of database errors, by what to do next."""

    LOST = auto()
    """The connection is gone: open another and send the same again."""
    SERVER = auto()
    """The server cannot serve anybody now (disk full, read-only, starting): pause, and blame no row."""
    CONFLICT = auto()
    """Deadlock or serialization failure: the same again, a little later."""
    LOCKED = auto()
    """A lock was waited for too long: find out whose, and go around it."""
    TRANSIENT = auto()
    """Out of time or memory, a schema in the middle of a change, a fault inside Postgres: less at once, or later, may pass."""
    STATEMENT = auto()
    """Something in the statement is refused: look for the one row, and isolate it."""


_TIME_AND_MEMORY = {"57014", "53200"}
_CONFLICT = {"40001", "40P01"}
_LOCKED = {"55P03"}
_LOST = {"08"}
_SERVER = {"25", "28", "3D", "53", "57", "58"}
_TRANSIENT = {"42", "XX"}
"""By class, the first two characters of a SQLSTATE."""


def fault_of(error: psycopg.Error) -> Fault:
    """The kind of a database error. One without a SQLSTATE came from the client's side."""
    state = error.sqlstate
    if state is None:
        from_client = isinstance(
            error, psycopg.DataError | psycopg.ProgrammingError | psycopg.NotSupportedError
        )
        return Fault.STATEMENT if from_client else Fault.LOST
    if state in _CONFLICT:
        return Fault.CONFLICT
    if state in _LOCKED:
        return Fault.LOCKED
    if state in _TIME_AND_MEMORY or state[:2] in _TRANSIENT:
        return Fault.TRANSIENT
    if state[:2] in _LOST:
        return Fault.LOST
    return Fault.SERVER if state[:2] in _SERVER else Fault.STATEMENT
