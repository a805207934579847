"""Numbers and names out of bounds are refused in one line, before the database hears of them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.errors import InvalidRequestError
from llmreq.governor.bounds import require_above_zero, require_between, require_bytes
from llmreq.governor.budgets import set_budget, set_ceiling, set_warning
from llmreq.governor.limits import LIMITS, set_limits, set_tenant
from llmreq.governor.prices import Price, set_price
from llmreq.governor.routes import set_route

NOBODY: Any = object()
"""A connection that nobody may touch."""

BAD = (
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"),
    Decimal("-Infinity"),
    Decimal(-1),
    Decimal("1e999"),
)
LANE = "openai/gpt-6-luna"
FINE = Decimal(1)


def limit(**columns: Any) -> Callable[[], object]:
    return lambda: set_limits(NOBODY, LANE, **columns)


@pytest.mark.parametrize("bad", BAD, ids=str)
@pytest.mark.parametrize(
    "given_as",
    [
        *(lambda bad, name=name: set_limits(NOBODY, LANE, **{name: bad}) for name in LIMITS),
        lambda bad: set_limits(NOBODY, LANE, safety_margin=bad),
        lambda bad: set_limits(NOBODY, LANE, burst_seconds=bad),
        lambda bad: set_tenant(NOBODY, "acme", weight=bad),
        lambda bad: set_price(NOBODY, LANE, Price(bad, FINE)),
        lambda bad: set_price(NOBODY, LANE, Price(FINE, FINE, cache_read_usd=bad)),
        lambda bad: set_budget(NOBODY, "all", period="day", usd=bad),
        lambda bad: set_budget(NOBODY, "all", period="day", usd=FINE, warn_at=[FINE, bad]),
        lambda bad: set_ceiling(NOBODY, bad),
        lambda bad: set_warning(NOBODY, "run", usd=bad, tokens=None),
    ],
)
def test_what_is_no_sensible_number_is_refused_in_one_line(
    given_as: Callable[[Decimal], object], bad: Decimal
) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        given_as(bad)
    assert "\n" not in raised.value.message
    assert len(raised.value.message) < 200


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        (limit(requests_per_minute=Decimal("1e-320")), "requests_per_minute must be from 0.000001 to 1,000,000,000,000"),
        (limit(safety_margin=1.01), "safety_margin must be from 0.001 to 1, not 1.01"),
        (limit(burst_seconds=float("inf")), "burst_seconds must be from 0.001 to 3,600, not inf"),
        (limit(max_in_flight=0), "max_in_flight must be from 1 to 1,000,000, not 0"),
        (lambda: set_tenant(NOBODY, "acme", weight=Decimal("1e-320")), "a weight must be from 0.001 to 1,000,000"),
        (lambda: set_tenant(NOBODY, "x" * 501), "the tenant's name has 501 bytes; at most 500"),
        (lambda: set_tenant(NOBODY, "a\0b"), "holds a NUL character"),
        (lambda: set_price(NOBODY, "x" * 101 + "/m", Price(FINE, FINE)), "the provider has 101 bytes; at most 100"),
        (lambda: set_price(NOBODY, LANE, Price(Decimal("1e-21"), FINE)), "more than 20 decimals"),
        (lambda: set_price(NOBODY, LANE, Price(Decimal(1_000_001), FINE)), "from 0 to 1000000 dollars"),
        (lambda: set_price(NOBODY, LANE, Price(FINE, FINE), min_prompt_tokens=2**63), "below 2^63"),
        (lambda: set_budget(NOBODY, "tenant:" + "x" * 1001, period="day", usd=FINE), "the tenant's name has 1,001 bytes"),
        (lambda: set_budget(NOBODY, "all", period="day", tokens=10**15 + 1), "a budget in tokens must be from 0 to"),
        (lambda: set_budget(NOBODY, "all", period="day", usd=FINE, warn_at=[FINE] * 21), "at most 20 warning thresholds"),
        (lambda: set_budget(NOBODY, "all", period="day", usd=FINE, warn_at=[Decimal(11)]), "at most 10, not 11"),
        (lambda: set_warning(NOBODY, "run", usd=None, tokens=0), "tokens must be from 1 to"),
        (lambda: set_route(NOBODY, ["p/" + "m" * 251]), "longer than 250 characters"),
        (lambda: set_route(NOBODY, ["p/a\x1b[2Jb"]), "cannot be printed"),
        (lambda: set_route(NOBODY, [LANE] * 21), "1 to 20 candidates"),
        (lambda: set_route(NOBODY, [LANE], task_type="ü" * 201), "the task type has 402 bytes; at most 400"),
    ],
)  # fmt: skip
def test_each_bound_says_what_it_is(refused: Callable[[], object], says: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"(?s).*") as raised:
        refused()
    assert says in raised.value.message


numbers = st.one_of(st.integers(), st.floats(), st.decimals())


@given(numbers, st.integers(-(10**6), 10**6), st.integers(0, 10**6))
def test_a_number_is_taken_if_and_only_if_it_lies_between(
    value: int | float | Decimal, low: int, width: int
) -> None:
    high = low + width
    inside = not Decimal(value).is_nan() and low <= Decimal(value) <= high
    try:
        require_between("it", value, low, high)
    except InvalidRequestError:
        assert not inside
    else:
        assert inside


@given(st.decimals())
def test_above_zero_takes_neither_nothing_nor_what_is_no_number(value: Decimal) -> None:
    try:
        require_above_zero("it", value, 100)
    except InvalidRequestError:
        return
    assert 0 < value <= 100


@given(st.text())
def test_names_are_measured_in_bytes(text: str) -> None:
    try:
        require_bytes("it", text, 20)
    except InvalidRequestError:
        assert "\0" in text or len(text.encode("utf-8", "surrogatepass")) > 20
    else:
        assert len(text.encode("utf-8", "surrogatepass")) <= 20
