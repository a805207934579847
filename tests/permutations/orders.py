"""In which order the steps of several sessions are taken: written out, or every one there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

Order = tuple[str, ...]
"""Steps like `a.finish`, taken one after the other; those joined by `+` are started together."""


def every_order(sessions: Mapping[str, str]) -> Iterator[Order]:
    """Every interleaving of `{"a": "finish commit", "b": "rescue commit"}`; last the one in which all begin at once."""
    steps = {name: [f"{name}.{step}" for step in each.split()] for name, each in sessions.items()}
    yield from _interleave(tuple(tuple(each) for each in steps.values()))
    firsts = "+".join(each[0] for each in steps.values())
    yield (firsts, *(step for each in steps.values() for step in each[1:]))


def interleaved(**sessions: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with every interleaving of these sessions as its `order`."""
    return _parametrize(list(every_order(sessions)))


def orders(*written: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with each of these orders, e.g. "a.finish b.rescue a.commit b.commit"."""
    return _parametrize([tuple(each.split()) for each in written])


def _interleave(sessions: tuple[Order, ...]) -> Iterator[Order]:
    if not any(sessions):
        yield ()
    for at, steps in enumerate(sessions):
        if steps:
            for rest in _interleave((*sessions[:at], steps[1:], *sessions[at + 1 :])):
                yield (steps[0], *rest)


def _parametrize(found: list[Order]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    mark: Any = pytest.mark.parametrize("order", found, ids=[" ".join(each) for each in found])
    return mark  # type: ignore[no-any-return]
