"""The price book: versions of each model's price, in dollars per million tokens; none is ever changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg

from llmreq.database.ask import Row, ask
from llmreq.errors import InvalidRequestError
from llmreq.governor.lanes import split_lane
from llmreq.governor.price_row import BUCKETS, COLUMNS, EVER, PriceFile, PriceRow


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens, by bucket. None is unknown: a call that uses the bucket is unpriced."""

    input_usd: Decimal
    output_usd: Decimal
    cache_read_usd: Decimal | None = None
    cache_write_5m_usd: Decimal | None = None
    cache_write_1h_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, or would do: the versions it added, how many were in force already, what was no price."""

    added: tuple[PriceRow, ...]
    unchanged: int
    skipped: tuple[str, ...]


def list_prices(
    connection: psycopg.Connection[Any], lane: str | None = None, *, all_versions: bool = False
) -> list[Row]:
    """The prices in force, of one lane (`provider/model`, or a provider alone) or of all."""
    provider, _, model = (lane or "").partition("/")
    return ask(connection, "list_prices", provider=provider or None, model=model or None, all=all_versions)


def set_price(
    connection: psycopg.Connection[Any],
    lane: str,
    price: Price,
    *,
    valid_from: datetime | None = None,
    min_prompt_tokens: int = 0,
    source: str = "set by hand",
) -> int:
    """Add a version of a lane's price, in force from `valid_from` (None: now); returns its id.

    A model `*` stands for every model of the provider that has no price of its own. Calls already booked keep
    theirs. Raises InvalidRequestError.
    """
    provider, model = split_lane(lane)
    _check(provider, model, price, min_prompt_tokens, source)
    try:
        rows = ask(
            connection,
            "set_price",
            provider=provider,
            model=model,
            valid_from=valid_from,
            min_prompt_tokens=min_prompt_tokens,
            source=source,
            **asdict(price),
        )
    except psycopg.errors.UniqueViolation:
        raise InvalidRequestError(
            f"{lane} has a price from {valid_from} already, and calls may be booked with it: "
            "give another valid_from"
        ) from None
    return int(rows[0]["id"])


def _check(provider: str, model: str, price: Price, min_prompt_tokens: int, source: str) -> None:
    """As a line of a price list is checked. Raises InvalidRequestError."""
    dollars = {f"{name}_per_mtok": value for name, value in asdict(price).items()}
    try:
        PriceRow(provider, model, min_prompt_tokens=min_prompt_tokens, source=source, **dollars)
    except ValueError as error:
        raise InvalidRequestError(str(error)) from None


def price_rows(rows: Iterable[Row]) -> list[PriceRow]:
    """Rows of `list_prices` as a price list holds them. Raises ValueError for one that no list can hold."""
    return [
        PriceRow(**{column: row[column] for column in COLUMNS} | {"valid_from": row["valid_from"] or EVER})
        for row in rows
    ]


def import_prices(connection: psycopg.Connection[Any], file: PriceFile, *, dry_run: bool) -> Imported:
    """Add the versions of a price list that differ from those in force at their moment, all or none of them.

    What a partial list leaves out makes no new version; in one that it does make, it is unknown, and `skipped` says so.
    Never edits: a version that would need it raises InvalidRequestError. `source` alone makes no new version. The
    added rows carry the `valid_from` that they have in the book.
    """
    columns: dict[str, list[Any]] = {
        column: [getattr(row, column) for row in file.rows] for column in COLUMNS
    }
    columns["valid_from"] = [
        "-infinity" if moment == EVER else moment and moment.isoformat() for moment in columns["valid_from"]
    ]
    try:
        with connection.transaction():
            judged = ask(connection, "import_prices", dry_run=dry_run, partial=file.partial, **columns)
            _refuse_edits([row for row in judged if row["verdict"] == "edit"])
    except psycopg.errors.UniqueViolation:
        raise InvalidRequestError("the price book was changed at the same moment: import once more") from None
    news = [row for row in judged if row["verdict"] == "add"]
    forgotten = _forgotten(news) if file.partial else []
    return Imported(tuple(price_rows(news)), len(judged) - len(news), (*file.skipped, *forgotten))


def _forgotten(news: Iterable[Row]) -> Iterator[str]:
    for row in news:
        lost = [
            name.removesuffix("_usd_per_mtok")
            for name, before in zip(BUCKETS, row["before"] or (), strict=False)
            if before is not None and row[name] is None
        ]
        if lost:
            way = "batch" if row["batch"] else row["service_tier"]
            which = f"{way}, from {row['min_prompt_tokens']} tokens"
            yield f"{row['provider']}/{row['model']} ({which}): not in the list, so no longer known: {', '.join(lost)}"


def _refuse_edits(edits: Sequence[Row]) -> None:
    if edits:
        first = edits[0]
        raise InvalidRequestError(
            f"{len(edits)} of the prices have another version from the same moment in the book, as"
            f" {first['provider']}/{first['model']} from {first['valid_from'] or 'ever'}, and calls may be booked"
            " with it: give them a later valid_from"
        )


def reprice(
    connection: psycopg.Connection[Any], since: date, lane: str | None = None, *, dry_run: bool
) -> Iterator[Row]:
    """Append what the book's present versions change about the calls of each day and lane since then; one transaction each.

    Rows: day, lane, calls, priced (of them unpriced before), was_usd, is_usd. Run again, it finds nothing to do.
    """
    for turn in ask(connection, "reprice_days", since=since, lane=lane):
        (row,) = ask(connection, "reprice", lane=turn["lane"], day=turn["day"], dry_run=dry_run)
        yield {**turn, **row}
