"""Numbers and names that operators give, refused with one line before SQL refuses them with its own."""

from __future__ import annotations

import math
from decimal import Decimal

from llmreq.errors import InvalidRequestError
from llmreq.limits import MAX_USD_DECIMALS

Number = int | float | Decimal


def require_between(name: str, value: Number, low: Number, high: Number) -> None:
    """Raise InvalidRequestError unless the value is a number from `low` to `high`; NaN and infinity are none."""
    finite = (
        math.isfinite(value)
        if isinstance(value, float)
        else not isinstance(value, Decimal) or value.is_finite()
    )
    if not (finite and low <= value <= high):
        raise InvalidRequestError(f"{name} must be from {_plain(low)} to {_plain(high)}, not {value}")


def require_above_zero(name: str, value: Number, high: Number) -> None:
    """Raise InvalidRequestError unless the value is a number above 0, as prices can be told, and at most `high`."""
    try:
        require_between(name, value, _SMALLEST, high)
    except InvalidRequestError:
        raise InvalidRequestError(f"{name} must be above 0 and at most {_plain(high)}, not {value}") from None


_SMALLEST = Decimal(1).scaleb(-MAX_USD_DECIMALS)


def _plain(bound: Number) -> str:
    text = f"{Decimal(bound):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def require_bytes(name: str, text: str, most: int) -> None:
    """Raise InvalidRequestError for a name that is too long to be indexed, or that Postgres cannot store."""
    if "\0" in text:
        raise InvalidRequestError(f"{name} holds a NUL character, which Postgres cannot store")
    if (size := len(text.encode("utf-8", "surrogatepass"))) > most:
        raise InvalidRequestError(f"{name} has {size:,} bytes; at most {most:,} are accepted")
