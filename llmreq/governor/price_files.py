"""Price lists as text → rows of the price book: our own CSV and TOML, LiteLLM's and Langfuse's JSON. No I/O."""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal

from llmreq.governor.langfuse_prices import from_langfuse
from llmreq.governor.litellm_prices import from_litellm
from llmreq.governor.price_numbers import at, dollars
from llmreq.governor.price_row import BUCKETS, COLUMNS, EVER, PriceFile, PriceRow, without_repeats

__all__ = [
    "PriceFile",
    "PriceRow",
    "detect_form",
    "from_csv",
    "from_langfuse",
    "from_litellm",
    "from_toml",
    "only_providers",
    "read_price_file",
    "usual_providers",
    "write_csv",
]

Form = Literal["csv", "toml", "litellm", "langfuse"]

_PRICE_TABLE = re.compile(r"^[ \t]*\[\[[ \t]*price[ \t]*\]\]", re.MULTILINE)
_PROVIDERS_NAMED = 5
_SINCE_EVER = "-infinity"
_YES_NO = {"": False, "true": True, "t": True, "yes": True, "1": True} | dict.fromkeys(
    ("false", "f", "no", "0"), False
)


def read_price_file(text: str, *, name: str, valid_from: datetime | None) -> PriceFile:
    """The rows of a price list in any of the four forms, told apart by content.

    `name` is the file's, for `source`; `valid_from` (None: the moment of the import) is for rows that name none.
    Raises ValueError that names the line, price or model.
    """
    form = detect_form(text)
    return _READERS[form](text, name=name, valid_from=valid_from)


def detect_form(text: str) -> Form:
    """Which form the text has, by its first characters. Raises ValueError when it has none of them."""
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("{"):
        return "litellm"
    if _PRICE_TABLE.search(text):
        return "toml"
    if start.startswith("["):
        return "langfuse"
    header = start.partition("\n")[0]
    if "provider" in header and "model" in header:
        return "csv"
    raise ValueError(
        "no price list: write a CSV whose header names provider and model, a TOML of [[price]] tables,"
        " or give the JSON of LiteLLM or Langfuse"
    )


def from_csv(text: str, *, name: str, valid_from: datetime | None) -> PriceFile:
    """Our CSV: a header with columns of `llm_prices` (provider and model at least); an empty cell is unknown."""
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), strict=True)

    def placed() -> Iterator[tuple[str, PriceRow]]:
        header: list[str] = []
        for cells in _lines(reader):
            where = f"line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            with at(where):
                if not header:
                    header = _header(cells)
                    continue
                if len(cells) != len(header):
                    raise ValueError(f"has {len(cells)} cells where the header has {len(header)}")
                given = {column: cell.strip() or None for column, cell in zip(header, cells, strict=True)}
                yield where, _own_row(given, name, valid_from)

    rows, repeats = without_repeats(placed(), strict=True)
    return PriceFile(tuple(rows), tuple(repeats))


def from_toml(text: str, *, name: str, valid_from: datetime | None) -> PriceFile:
    """Our TOML: one `[[price]]` table a row, with the columns of `llm_prices` as keys; a key left out is unknown."""
    try:
        document = tomllib.loads(text.lstrip("\ufeff"), parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not TOML: {str(error)[:200] or type(error).__name__}") from None
    tables = document.pop("price", [])
    if document or not isinstance(tables, list):
        found = min(document, default="price")
        raise ValueError(f"{found!r} is not known here: write [[price]] tables and nothing else")

    def placed() -> Iterator[tuple[str, PriceRow]]:
        for number, table in enumerate(tables, 1):
            with at(f"price {number}"):
                if not isinstance(table, dict):
                    raise ValueError("must be a table")
                _check_columns(table)
                yield f"price {number}", _own_row(table, name, valid_from)

    rows, repeats = without_repeats(placed(), strict=True)
    return PriceFile(tuple(rows), tuple(repeats))


def write_csv(rows: Iterable[PriceRow]) -> str:
    """Our CSV of these rows, with every column; reading it gives the same rows."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(row, column)) for column in COLUMNS] for row in rows)
    return out.getvalue()


def only_providers(file: PriceFile, providers: Collection[str]) -> PriceFile:
    """What a price list says of these providers."""
    return replace(
        file,
        rows=tuple(row for row in file.rows if row.provider in providers),
        skipped=tuple(line for line in file.skipped if line.partition("/")[0] in providers),
    )


def usual_providers(file: PriceFile, providers: Collection[str]) -> PriceFile:
    """The same for a vendor-neutral list, which names dozens of providers: the others become one line of `skipped`.

    A model's bare name tells its provider only while one provider has it in the price book.
    """
    others = Counter(row.provider for row in file.rows if row.provider not in providers)
    if not others:
        return file
    names = ", ".join(name for name, _ in others.most_common(_PROVIDERS_NAMED))
    more = ", …" if len(others) > _PROVIDERS_NAMED else ""
    left = f"{others.total()} prices of providers neither configured nor in the book ({names}{more}): name one to take its own"
    return replace(file, rows=only_providers(file, providers).rows, skipped=(*file.skipped, left))


_READERS: Mapping[Form, Callable[..., PriceFile]] = {
    "csv": from_csv,
    "toml": from_toml,
    "litellm": from_litellm,
    "langfuse": from_langfuse,
}


def _lines(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None


def _header(cells: list[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    _check_columns(header)
    if len(set(header)) < len(header):
        raise ValueError("the header names a column twice")
    return header


def _check_columns(given: Iterable[str]) -> None:
    named = set(given)
    if unknown := named - set(COLUMNS):
        raise ValueError(f"{min(unknown)!r} is no column of a price: use {', '.join(COLUMNS)}")
    if missing := {"provider", "model"} - named:
        raise ValueError(f"{max(missing)} is missing: a price needs provider and model")


def _own_row(given: Mapping[str, Any], name: str, valid_from: datetime | None) -> PriceRow:
    """A row from the columns that a line or a table gives; None is left out."""
    columns = {column: value for column, value in given.items() if value is not None}
    texts = {
        column: _text(column, columns[column])
        for column in ("provider", "model", "service_tier", "source")
        if column in columns
    }
    prices: dict[str, Decimal | None] = {}
    for bucket in BUCKETS:
        with at(bucket):
            prices[bucket] = dollars(columns.get(bucket))
    return PriceRow(
        provider=texts.get("provider", ""),
        model=texts.get("model", ""),
        valid_from=_moment(columns["valid_from"]) if "valid_from" in columns else valid_from,
        min_prompt_tokens=_tokens(columns.get("min_prompt_tokens", 0)),
        service_tier=texts.get("service_tier", "standard"),
        batch=_yes_no(columns.get("batch", False)),
        source=texts.get("source", name),
        **prices,
    )


def _text(column: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{column} must be text, not {type(value).__name__}")
    return value.strip()


def _tokens(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"min_prompt_tokens must be a whole number, not {str(value)[:60]!r}")


def _yes_no(value: object) -> bool:
    known = value if isinstance(value, bool) else _YES_NO.get(str(value).lower())
    if known is None:
        raise ValueError(f"batch must be true or false, not {str(value)[:60]!r}")
    return known


def _moment(value: object) -> datetime:
    """ISO 8601 or a TOML date, UTC where it names no zone; `-infinity` is since ever."""
    if value == _SINCE_EVER:
        return EVER
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        f"valid_from must be a date such as 2026-11-20 or 2026-11-20T08:00:00Z, not {str(value)[:60]!r}"
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return _SINCE_EVER if value == EVER else value.astimezone(UTC).isoformat()
    return str(value)
