"""Numbers as people type them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import click

from llmreq.cli.output import one_line
from llmreq.limits import MAX_BUDGET_TOKENS

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
        if not number.is_finite() or number < 1:
            self.fail(f"{_shown(value)} is no whole number above 0 (also 200k, 2M, or none)", param, ctx)
        if number > MAX_BUDGET_TOKENS:  # before it is made an integer, which may have a million digits
            self.fail(f"{_shown(value)} is above {MAX_BUDGET_TOKENS:,}, the largest number here", param, ctx)
        if number != int(number):
            self.fail(f"{_shown(value)} is no whole number above 0 (also 200k, 2M, or none)", param, ctx)
        return int(number)


class Exact(click.ParamType[Decimal]):
    """A decimal number, exact; NaN and infinity are none."""

    def __init__(self, what: str) -> None:
        self.name = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            number = Decimal(str(value).strip().removeprefix("$"))
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite():
            self.fail(f"{_shown(value)} is no number", param, ctx)
        return number


def _shown(value: Any) -> str:
    return repr(one_line(str(value), _SHOWN_CHARS))


_SHOWN_CHARS = 60
COUNT = Count()
USD = Exact("dollars")
NUMBER = Exact("number")
