"""Pages and what stands in a merged value, for the tests of merging."""

from __future__ import annotations

from typing import Any

from llmreq.merge.merge import Merged, merge_pages
from llmreq.merge.pages import PageResult


def page(number: int, value: Any = None, *, text: str | None = None, tokens: int = 10) -> PageResult:
    """Page n (from 1) is about characters (n-1)*100 to n*100."""
    return PageResult(number, (number - 1) * 100, number * 100, value, text, tokens)


def pages(*values: Any) -> list[PageResult]:
    return [page(number, value) for number, value in enumerate(values, 1)]


def merged(schema: Any, *values: Any) -> Merged:
    return merge_pages("merge", pages(*values), schema)


def at(value: Any, pointer: str) -> Any:
    """What stands at a JSON pointer."""
    for step in steps(pointer):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def named(result: Merged, pointer: str) -> list[int]:
    """The pages that provenance names for a pointer."""
    return [place["page"] for place in result.provenance[pointer]]
