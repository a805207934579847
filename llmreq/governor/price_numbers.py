"""How the numbers of price lists are read: exact decimals from the source text, never floats; every error a ValueError."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Any

_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
_MILLION = Decimal(1_000_000)
_MAX_COUNT = 10**12


def dollars(value: object) -> Decimal | None:
    """A price as a parser or a CSV cell gives it, trailing zeros trimmed; None stays None. Raises ValueError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"a price must be a number, not {type(value).__name__}")
    with _or_else(f"{str(value)[:60]!r} is no price"):
        number = Decimal(value)
        if not number.is_finite() or number < 0:
            raise ValueError(f"a price must be 0 or more, not {number}")
        trimmed = _EXACT.normalize(number)
        return _EXACT.quantize(trimmed, Decimal(1)) if _exponent(trimmed) > 0 else trimmed


def per_million(value: object) -> Decimal | None:
    """The same, of a number of a JSON list in dollars per token: a text is no number there."""
    if isinstance(value, str):
        raise ValueError(f"a price must be a number, not the text {value[:60]!r}")
    each = dollars(value)
    with _or_else(f"{each} per token is no price"):
        return None if each is None else dollars(_EXACT.multiply(each, _MILLION))


def whole(value: object) -> int | None:
    """A number of a JSON list as a count of tokens; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if isinstance(value, Decimal) and not value.is_finite():
        return None
    return int(value) if 0 <= value <= _MAX_COUNT and value == int(value) else None


def _exponent(number: Decimal) -> int:
    return int(number.as_tuple().exponent)


@contextmanager
def _or_else(message: str) -> Iterator[None]:
    """Decimal's own errors (no number, too many digits, too large) as a ValueError that says this."""
    try:
        yield
    except ArithmeticError:
        raise ValueError(message) from None


@contextmanager
def at(where: str) -> Iterator[None]:
    """Puts the place in front of a ValueError's message."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def parse_json(text: str) -> Any:
    """JSON with exact numbers; NaN and Infinity come as decimals, for the caller to name. Raises ValueError.

    Of a key that stands twice in an object the last one counts, as in the lists' own readers.
    """
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not JSON: {str(error)[:200] or type(error).__name__}") from None
