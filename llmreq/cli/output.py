"""How commands speak: rich tables for people, one JSON document for machines.

Dollars are written as exact JSON numbers, times as ISO 8601, ids as text.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """The `--json` flag, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON for machines.")(command)


def write_json(document: Any) -> None:
    """One JSON document in one line on stdout."""
    try:
        click.echo(orjson.dumps(document, default=_plain))
    except TypeError:  # an answer may hold integers beyond 64 bits
        click.echo(orjson.dumps(_exact(document), default=_plain))


def write_json_lines(documents: Iterable[Any]) -> None:
    """One JSON document a line."""
    for document in documents:
        write_json(document)


def say(line: str) -> None:
    """A line for people on stderr, where it does not mix with results."""
    click.echo(visible(" ".join(line.split())), err=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "none") -> None:
    """A titled table on stdout; `empty` is said when it has no rows."""
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


def console() -> Console:
    """Rich on the present stdout; as wide as asked for when that is no terminal, so that nothing is cut."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False)


def cell(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {cell(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(cell(inner) for inner in value)
    return visible(str(value))


def visible(text: str) -> str:
    """Text of a model or a provider without the control characters that could steer a terminal."""
    return "".join(char if char in "\n\t" or char.isprintable() else "\ufffd" for char in text)


def dollars(value: Decimal | None) -> str:
    """Money as people read it; an unknown sum is said loudly."""
    return "UNKNOWN" if value is None else f"${cell(value)}"


def money(value: Decimal) -> str:
    """Dollars for a report: cents from a dollar on, else three significant digits; exact figures are in --json and --csv."""
    amount = Decimal(value)
    if amount == 0:
        return "$0"
    return (
        f"${amount:,.2f}"
        if abs(amount) >= 1
        else f"${amount:.3g}"
        if abs(amount) < Decimal("0.0001")
        else f"${amount:.4f}"
    )


def tokens(count: int) -> str:
    """Counts as people read them: 870, 12.3k, 1.2M, 4.5B."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if abs(count) >= size:
            return f"{count / size:.1f}".removesuffix(".0") + letter
    return str(count)


def _exact(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: _exact(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(inner) for inner in value]
    return orjson.Fragment(str(value)) if type(value) is int else value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(f"{value:f}")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
