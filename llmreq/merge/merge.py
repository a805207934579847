"""One result out of the results of the pages of a long document.

`concat`            the pages' answers as a list, in page order; a text with blank lines between when all are plain text.
`merge`             the deep merge below; plain text alone is joined as by `concat`.
`first`, `last`     the answer of the first or last page that has one.
`weighted_average`  of vectors: the mean weighted by the pages' tokens, brought to length 1.
`reduce`            is another call, not a merge: `reduce_messages` in `reduce.py` writes its question.

The deep merge, without any hint in the schema:
- objects: property by property, so also a property that only one page has;
- lists: joined in page order; of items that are equal as wholes one is kept, also within a page. Equal is exactly equal
  ("Ada" and "ada" are two), but 1 is 1.0 and the order of properties is nothing. A tuple (`prefixItems`) is one value;
- null: gives way to anything, without a conflict;
- other values, numbers too: the first page's; each different one is a conflict (`rule` "first", or "type" when it is of
  another type). Nothing is ever added up unasked;
- below `MAX_MERGE_DEPTH` levels everything is one value.

Hints beside a property's `type` (`$ref`, `allOf` and the only non-null branch of `anyOf` and `oneOf` are followed; the
nearest hint counts):
- `x-key`: a name or list of names; items with the same key are merged into one, by the hints of their own schema. In keys
  case, Unicode composition and amount of white space do not count ("Ada" and "ADA " are one; the first spelling stays, the
  other is a conflict). An item whose key is absent, null or blank is compared as a whole;
- `x-merge`: `sum` of numbers (as written: 0.1 + 0.2 is 0.3), `max` or `min` of numbers, else of strings, else of
  booleans, `first` or `last` of anything (the others were meant to go: no conflict), `union` of lists or of single
  values: always a list; `append` of lists, with nothing taken out. A value with which its rule can do nothing is a
  conflict of that rule.

Pages may be merged in groups, neighbours first, and the groups' results again: where the pages agree on types that gives
the same value. A sum, a maximum, a minimum and the members of a union do not depend on the order of pages either.

`provenance` maps JSON pointers of the merged value to the pages that hold what stands there: each list item, each value
that was chosen, all addends of a sum. A pointer without an entry of its own came with the nearest one above it.
`conflicts` are `{"path","kept","other","page","rule"}`, each different value once.
The merged value may break the schema (a sum above `maximum`): the caller checks it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmreq.merge.hints import open_schema
from llmreq.merge.join import Join, Said
from llmreq.merge.journal import Journal
from llmreq.merge.numbers import mean_vector
from llmreq.merge.pages import PageResult, in_order, plain_text


@dataclass(frozen=True, slots=True)
class Merged:
    """The result, where its parts came from and what could not be kept; all three are JSON values."""

    value: Any
    provenance: dict[str, list[dict[str, int]]]
    conflicts: list[dict[str, Any]]


def merge_pages(
    strategy: str, pages: Sequence[PageResult], schema: Mapping[str, Any] | bool | None = None
) -> Merged:
    """The pages' results as one; the order they are given in does not matter. Only `merge` reads the schema.

    Raises ValueError for no pages, for a strategy that is none, for an unknown `x-merge` or `x-key` and for
    vectors that have no mean; InvalidSchemaError when the schema's references lead nowhere.
    """
    merging = _STRATEGIES.get(strategy)
    if strategy == "reduce":
        raise ValueError("reduce is another call: ask it with reduce_messages and take its answer")
    if merging is None:
        raise ValueError(
            f"merge strategy {strategy!r} is unknown: say one of {', '.join(_STRATEGIES)}, reduce"
        )
    if not pages:
        raise ValueError("there are no pages to merge")
    ordered = in_order(pages)
    journal = Journal(ordered)
    value = merging(ordered, schema, journal)
    return Merged(value, journal.provenance, journal.conflicts)


_Schema = Mapping[str, Any] | bool | None


def _concat(pages: Sequence[PageResult], _: _Schema, journal: Journal) -> Any:
    text = plain_text(pages)
    if text is not None:
        journal.came_from("", (index for index, each in enumerate(pages) if each.text))
        return text
    for index in range(len(pages)):
        journal.came_from(f"/{index}", [index])
    return [each.answer for each in pages]


def _merge(pages: Sequence[PageResult], schema: _Schema, journal: Journal) -> Any:
    place = open_schema(schema)
    parsed = [Said(each.value, index) for index, each in enumerate(pages) if each.value is not None]
    if not parsed:
        return _concat(pages, schema, journal) if plain_text(pages) is not None else None
    value = Join(journal).of(place, parsed)
    for index, each in enumerate(pages):
        if each.value is None and each.text:
            journal.not_kept(
                "", value, each.text, index, "type"
            )  # prose cannot be joined with parsed answers
    return value


def _first(pages: Sequence[PageResult], _: _Schema, journal: Journal) -> Any:
    return _one(journal, [(each.answer, index) for index, each in enumerate(pages)])


def _last(pages: Sequence[PageResult], _: _Schema, journal: Journal) -> Any:
    return _one(journal, [(each.answer, index) for index, each in enumerate(pages)][::-1])


def _one(journal: Journal, answers: Sequence[tuple[Any, int]]) -> Any:
    for answer, index in answers:
        if answer is not None:
            journal.came_from("", [index])
            return answer
    return None


def _weighted_average(pages: Sequence[PageResult], _: _Schema, journal: Journal) -> Any:
    vector = mean_vector(pages)
    journal.came_from("", range(len(pages)))
    return vector


_STRATEGIES: Mapping[str, Callable[[Sequence[PageResult], _Schema, Journal], Any]] = {
    "concat": _concat,
    "merge": _merge,
    "first": _first,
    "last": _last,
    "weighted_average": _weighted_average,
}
