"""Numbers as people type them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import click

NONE = "none"


class Count(click.ParamType[int | str]):
    """A whole number above 0, also as 200k or 2M; `none` takes the limit away."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value).strip().lower().replace("_", "").replace(",", "")
        if text == NONE:
            return NONE
        factor = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}.get(text[-1:], 1)
        try:
            number = Decimal(text.rstrip("kmb")) * factor
        except ArithmeticError:
            number = Decimal(0)
        if not number.is_finite() or number < 1 or number != int(number):
            self.fail(f"{value!r} is no whole number above 0 (also 200k, 2M, or none)", param, ctx)
        return int(number)


class Dollars(click.ParamType[Decimal]):
    """A decimal number, exact."""

    name = "dollars"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            return Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is no number of dollars", param, ctx)


COUNT = Count()
USD = Dollars()
