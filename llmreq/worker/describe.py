"""An error in one line that repeats nothing of what was worked on: a log never holds a prompt, an answer or a key. Pure.

The text of an error often repeats its input: a KeyError the key, a ValueError the word that is no number, Postgres the value, the
row or what a user's trigger says. So only texts that are known not to are shown; of others, the names and the place.
"""

from __future__ import annotations

from pathlib import PurePath
from types import TracebackType

import psycopg

from llmreq.errors import DatabaseUnavailableError, SettingsError

_SAFE_STATES = frozenset({"08", "25", "28", "3D", "40", "42", "53", "54", "55", "57", "58", "F0"})
"""Classes of SQLSTATE whose message names parts of the database, never a value: not 22, 23 and what functions raise."""

_OURS = "LQ"
_MAX_CHARS = 300


def describe(error: BaseException) -> str:
    """The error's type; with its text where that is safe, else with where it was raised."""
    name = type(error).__name__
    if isinstance(error, psycopg.Error):
        return f"{name}: {_of_postgres(error)}"[:_MAX_CHARS]
    if isinstance(error, DatabaseUnavailableError | SettingsError):
        return f"{name}: {_first_line(error)}"[:_MAX_CHARS]
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"[:_MAX_CHARS]
    place = places(error)[-1:]
    return f"{name} at {place[0]}" if place else name


def places(error: BaseException, most: int = 30) -> list[str]:
    """Where the error came from, outermost first, as `file.py:12 in function`: the last `most` of them."""
    found: list[str] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        path = "/".join(PurePath(code.co_filename).parts[-2:])
        found.append(f"{path}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    return found[-most:]


def _of_postgres(error: psycopg.Error) -> str:
    state = error.sqlstate
    if state is None:
        # From the client: a broken connection says so; a value that cannot be sent or read is repeated.
        is_safe = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return _first_line(error) if is_safe else (places(error)[-1:] or ["in the client"])[0]
    # A user's trigger raises under any state, with any text.
    is_raised = error.diag.source_function == "exec_stmt_raise"
    if state.startswith(_OURS) or (state[:2] in _SAFE_STATES and not is_raised):
        return _first_line(error)
    names = (error.diag.constraint_name, error.diag.table_name, error.diag.column_name)
    return " ".join((f"SQLSTATE {state}", *(each for each in names if each)))


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "")
