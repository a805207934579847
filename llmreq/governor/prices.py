"""The price book: versions of each model's price, in dollars per million tokens; none is ever changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg

from llmreq.database.ask import Row, ask
from llmreq.errors import InvalidRequestError
from llmreq.governor.lanes import split_lane


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens, by bucket. None is unknown: a call that uses the bucket is unpriced."""

    input_usd: Decimal
    output_usd: Decimal
    cache_read_usd: Decimal | None = None
    cache_write_5m_usd: Decimal | None = None
    cache_write_1h_usd: Decimal | None = None


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
    dollars = {name: value for name, value in asdict(price).items() if value is not None}
    for name, value in dollars.items():
        if not value.is_finite() or value < 0:
            raise InvalidRequestError(f"{name} must be 0 or more dollars per million tokens, not {value}")
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
