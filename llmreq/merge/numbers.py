"""Sums as people write them, and the mean of vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from llmreq.merge.pages import PageResult


def is_number(value: Any) -> bool:
    """A JSON number: true is none, nor is anything that is not finite."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def total(numbers: Sequence[int | float]) -> int | float:
    """The sum of the numbers as they are written: 0.1 + 0.2 is 0.3, whatever the order. Integers give an integer."""
    whole = sum(each for each in numbers if isinstance(each, int))
    parts = [Fraction(repr(each)) for each in numbers if isinstance(each, float)]
    if not parts:
        return whole
    exact = whole + sum(parts)
    try:
        return float(exact)
    except OverflowError:  # beyond what a float can be, but JSON has no such bound
        return round(exact)


def mean_vector(pages: Sequence[PageResult]) -> list[float]:
    """The mean of the pages' vectors, each weighing as many tokens as its page has, brought to length 1.

    Pages weigh the same when none has tokens. Raises ValueError for a page without a vector, for vectors of
    different lengths, for negative tokens, and when the mean has no direction because the vectors cancel out.
    """
    vectors = [_vector(each) for each in pages]
    for page, vector in zip(pages, vectors, strict=True):
        if len(vector) != len(vectors[0]):
            raise ValueError(
                f"the vector of page {page.page} has {len(vector)} numbers, that of page {pages[0].page}"
                f" {len(vectors[0])}: embed all pages with the same model and dimensions"
            )
    weights = _weights(pages)
    mean = [math.fsum(map(float.__mul__, weights, column)) for column in zip(*vectors, strict=True)]
    length = math.hypot(*mean)
    if not 0 < length < math.inf:
        raise ValueError("the pages' vectors have no mean direction: they cancel out or are zero")
    return [each / length for each in mean]


def _vector(page: PageResult) -> list[float]:
    if not isinstance(page.value, list) or not page.value or not all(map(is_number, page.value)):
        raise ValueError(f"page {page.page} has no vector: a list of finite numbers is needed")
    try:
        return [float(each) for each in page.value]
    except OverflowError:
        raise ValueError(f"the vector of page {page.page} has a number no float can hold") from None


def _weights(pages: Sequence[PageResult]) -> list[float]:
    for each in pages:
        if each.tokens < 0:
            raise ValueError(f"page {each.page} has {each.tokens} tokens: there cannot be fewer than 0")
    tokens = [each.tokens for each in pages]
    if not any(tokens):
        tokens = [1] * len(pages)
    whole = sum(tokens)
    return [each / whole for each in tokens]
