"""How commands speak: rich tables for people, one JSON document for machines.

Dollars are written as exact JSON numbers, times as ISO 8601, ids as text.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmreq.limits import CELL_CHARS, CELL_DEPTH, LINE_CHARS, LISTED_ROWS

F = TypeVar("F", bound=Callable[..., Any])

_PLAIN_DEPTH = 100
"""Levels below this are written by the slower encoder, which knows no limit; orjson's is 254."""

_DEEP_CALLS = 10_000
"""Enough nested calls for a thousand levels of JSON."""


def json_option(command: F) -> F:
    """The `--json` flag, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON for machines.")(command)


def limit_option(command: F) -> F:
    """The `--limit` of a list that may be long."""
    return click.option(
        "--limit",
        type=click.IntRange(1, 1_000_000),
        help=f"Rows to list. Default {LISTED_ROWS}, with --json all.",
    )(command)


def shown_rows(limit: int | None, as_json: bool) -> int | None:
    """How many rows of a list to read; None is all of them."""
    return limit or (None if as_json else LISTED_ROWS)


def write_json(document: Any) -> None:
    """One JSON document in one line on stdout."""
    click.echo(json_text(document))


def json_text(document: Any, *, indented: bool = False) -> str:
    """A document of plain values, dataclasses and decimals as JSON, whatever a row of the queue may hold."""
    option = orjson.OPT_INDENT_2 if indented else 0
    try:
        return orjson.dumps(document, default=_plain, option=option).decode()
    except TypeError:  # it takes no integers beyond 64 bits, and nothing nested 255 deep
        return orjson.dumps(_exact(document), default=_plain, option=option).decode()


def write_json_lines(documents: Iterable[Any]) -> None:
    """One JSON document a line."""
    for document in documents:
        write_json(document)


def say(line: str) -> None:
    """A line for people on stderr, where it does not mix with results."""
    click.echo(one_line(line, LINE_CHARS), err=True)


def write_line(line: str, style: str = "") -> None:
    """A line for people on stdout, beside tables."""
    console().print(Text(one_line(line, LINE_CHARS), style))


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "none", more: int = 0
) -> None:
    """A titled table on stdout; `empty` is said when it has no rows, and `more` counts those that it leaves out."""
    content = [[Text(cell(value)) for value in row] for row in rows]
    if not content:
        console().print(Text.assemble((f"{title}: ", "bold"), empty))
        return
    drawn = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in content:
        drawn.add_row(*row)
    console().print(drawn)
    if more:
        console().print(Text(f"  … and {more:,} more", "dim"))


def console() -> Console:
    """Rich on the present stdout; as wide as asked for when that is no terminal, so that nothing is cut."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False)


def cell(value: Any, limit_chars: int = CELL_CHARS) -> str:
    """A value as people read it: one line, cut where it is long."""
    return one_line(_words(value, limit_chars), limit_chars)


def _words(value: Any, limit_chars: int, depth: int = 0) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, Mapping | list | tuple):
        if depth == CELL_DEPTH:
            return "…"
        # What lies behind the cut is not even looked at: a context may hold a megabyte.
        items = value.items() if isinstance(value, Mapping) else (("", inner) for inner in value)
        return ", ".join(
            (f"{str(key)[:limit_chars]}: " if key else "") + _words(inner, limit_chars, depth + 1)
            for key, inner in islice(items, limit_chars)
        )
    return str(value)[: 2 * limit_chars]


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        return str(value)
    return f"{value.normalize():f}" if value else "0"


def one_line(text: str, limit: int) -> str:
    """A text as one harmless line of so many characters at most, an ellipsis for the rest."""
    line = visible(" ".join(text[: 2 * limit].split()))
    return line if len(line) <= limit and len(text) <= 2 * limit else f"{line[:limit]}…"


def visible(text: str) -> str:
    """Text of a model, a provider or a label without the control characters that could steer a terminal."""
    return "".join(char if char in "\n\t" or char.isprintable() else "\ufffd" for char in text)


def dollars(value: Decimal | None) -> str:
    """Money as people read it; an unknown sum is said loudly."""
    return "UNKNOWN" if value is None else f"${cell(value)}"


def money(value: Decimal) -> str:
    """Dollars for a report: cents from a dollar on, else three significant digits; exact figures are in --json and --csv."""
    amount = Decimal(value)
    if not amount.is_finite():
        return f"${amount}"
    if amount == 0:
        return "$0"
    if abs(amount) >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.3g}" if abs(amount) < Decimal("0.0001") else f"${amount:.4f}"


def tokens(count: int) -> str:
    """Counts as people read them: 870, 12.3k, 1.2M, 4.5B."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if abs(count) >= size:
            return f"{count / size:.1f}".removesuffix(".0") + letter
    return str(count)


def _exact(value: Any, depth: int = 0) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = fields_of(value)
    if isinstance(value, dict | list | tuple) and depth == _PLAIN_DEPTH:
        return orjson.Fragment(_deep(value))
    if isinstance(value, dict):
        return {key: _exact(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(inner, depth + 1) for inner in value]
    return orjson.Fragment(str(value)) if type(value) is int else value


def _deep(value: Any) -> str:
    """What a jsonb column holds that deep is plain JSON, and nested a thousand times at most: deeper ones were read as text."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(max(usual, _DEEP_CALLS))
    try:
        return json.dumps(value, ensure_ascii=False)
    finally:
        sys.setrecursionlimit(usual)


def fields_of(record: Any) -> dict[str, Any]:
    """A dataclass as a dict whose values are its own: asdict() would copy them, however deep they are."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        # JSON has no NaN and no infinity: nobody knows that figure.
        return orjson.Fragment(f"{value:f}") if value.is_finite() else None
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
