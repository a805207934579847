"""In which order the steps of several sessions are taken: written out, or every one there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest

Mark = Callable[[Callable[..., None]], Callable[..., None]]
Order = tuple[str, ...]
"""Steps like `a.finish`, taken one after the other; those joined by `+` are started together."""


def every_order(sessions: Mapping[str, str], *, alike: bool = False) -> Iterator[Order]:
    """Every interleaving of `{"a": "finish commit", "b": "rescue commit"}` in which they meet; last all begin at once.

    Orders in which one session ends before the other begins are left out: they are what every other test plays.
    `alike`: the sessions do the same, so that of two orders that mirror each other one is enough.
    """
    steps = {name: tuple(f"{name}.{step}" for step in each.split()) for name, each in sessions.items()}
    for order in _interleave(tuple(steps.values())):
        names = [step.partition(".")[0] for step in order]
        turns = 1 + sum(one != other for one, other in pairwise(names))
        if turns > len(sessions) and not (alike and names[0] != next(iter(sessions))):
            yield order
    firsts = "+".join(each[0] for each in steps.values())
    yield (firsts, *(step for each in steps.values() for step in each[1:]))


def interleaved(*, alike: bool = False, most: int = 0, **sessions: str) -> Mark:
    """Run a test with every interleaving of these sessions as its `order`, or with so many of them, evenly spread."""
    found = list(every_order(sessions, alike=alike))
    if 0 < most < len(found):
        found = [found[(n + 1) * len(found) // most - 1] for n in range(most)]
    return _parametrize(found)


def orders(*written: str) -> Mark:
    """Run a test with each of these orders, e.g. "a.finish b.rescue a.commit b.commit"."""
    return _parametrize([tuple(each.split()) for each in written])


def _interleave(sessions: tuple[Order, ...]) -> Iterator[Order]:
    if not any(sessions):
        yield ()
    for at, steps in enumerate(sessions):
        if steps:
            for rest in _interleave((*sessions[:at], steps[1:], *sessions[at + 1 :])):
                yield (steps[0], *rest)


def _parametrize(found: list[Order]) -> Mark:
    mark: Any = pytest.mark.parametrize("order", found, ids=[" ".join(each) for each in found])
    return mark  # type: ignore[no-any-return]
