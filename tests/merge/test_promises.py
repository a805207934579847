"""Whatever the pages say: grouping does not matter, nothing is lost, and provenance tells the truth."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
from hypothesis import given
from hypothesis import strategies as st

from llmreq.merge.identity import identity, spoken
from llmreq.merge.merge import Merged, merge_pages
from llmreq.merge.numbers import total
from llmreq.merge.pages import PageResult
from tests.check.schema_strategies import values as any_values
from tests.merge.pages import at, merged, pages, steps

MISSING = object()
cents = st.integers(-(10**6), 10**6).map(lambda n: n / 100)
words = st.sampled_from(["ada", "Ada", " ADA  b", "ada b", "é", "e\u0301", ""])
items = st.fixed_dictionaries(
    {},
    optional={
        "id": words | st.none() | st.integers(0, 2),
        "count": st.integers(-5, 5) | cents,
        "best": cents | st.none(),
        "tags": st.lists(words, max_size=3) | words,
        "note": words | st.none(),
    },
)
answers = st.fixed_dictionaries(
    {},
    optional={
        "total": st.integers() | cents | st.none(),
        "top": st.integers(-5, 5) | words,
        "low": cents,
        "all": st.lists(words) | words | st.integers(0, 1),
        "title": words | st.none(),
        "latest": words | st.none(),
        "things": st.lists(items, max_size=4) | st.none(),
        "plain": st.lists(any_values, max_size=3),
        "meta": st.dictionaries(words, words | st.none(), max_size=2),
        "loose": any_values,
    },
)
SCHEMA: dict[str, Any] = {
    "properties": {
        "total": {"x-merge": "sum"},
        "top": {"x-merge": "max"},
        "low": {"x-merge": "min"},
        "all": {"x-merge": "union"},
        "latest": {"x-merge": "last"},
        "things": {"x-key": "id", "items": {"$ref": "#/$defs/thing"}},
    },
    "$defs": {
        "thing": {
            "properties": {
                "count": {"x-merge": "sum"},
                "best": {"x-merge": "max"},
                "tags": {"x-merge": "union"},
            }
        }
    },
}


@given(a=answers, b=answers, c=answers)
def test_it_does_not_matter_how_pages_are_grouped(a: Any, b: Any, c: Any) -> None:
    flat = merged(SCHEMA, a, b, c).value
    assert merged(SCHEMA, merged(SCHEMA, a, b).value, c).value == flat
    for each in (a, b, c):
        each.pop(
            "loose", None
        )  # of pages that disagree on a type the first is right, so c may be lost behind b
    assert merged(SCHEMA, a, merged(SCHEMA, b, c).value).value == merged(SCHEMA, a, b, c).value


@given(said=st.lists(answers, min_size=1, max_size=4), data=st.data())
def test_sums_maxima_minima_and_the_members_of_unions_do_not_depend_on_the_order(
    said: list[Any], data: st.DataObject
) -> None:
    names = ("total", "low", "top", "all")
    shuffled = data.draw(st.permutations(said))
    one, two = merged(SCHEMA, *said).value, merged(SCHEMA, *shuffled).value
    for name in names:
        left, right = one.get(name), two.get(name)
        if name == "all" and left is not None:
            assert sorted(map(identity, left)) == sorted(map(identity, right))
        else:
            assert left == right


@given(said=st.lists(any_values, min_size=1, max_size=4))
def test_without_hints_every_value_is_in_the_result_or_among_the_conflicts(said: list[Any]) -> None:
    result = merged(None, *said)
    for value in said:
        assert list(_unaccounted(value, result.value, "", result)) == []


@given(said=st.lists(answers, min_size=1, max_size=4))
def test_every_key_and_every_item_without_one_is_in_the_result(said: list[Any]) -> None:
    found = merged(SCHEMA, *said).value.get("things") or []
    for item in [item for each in said for item in each.get("things") or []]:
        key = item.get("id")
        if isinstance(key, str):
            key = spoken(key)
        if key in (None, ""):
            assert item in found
        else:
            keys = [other.get("id") for other in found]
            assert [spoken(each) if isinstance(each, str) else each for each in keys].count(key) == 1


@given(said=st.lists(any_values, min_size=1, max_size=4))
def test_provenance_names_exactly_the_pages_that_hold_the_value(said: list[Any]) -> None:
    result = merged(None, *said)
    for pointer, places in result.provenance.items():
        wanted = at(result.value, pointer)
        holders = [
            number for number, value in enumerate(said, 1) if _holds(value, result.value, pointer, wanted)
        ]
        assert [place["page"] for place in places] == holders, pointer
        assert holders or wanted is None
    assert list(_without_provenance(result.value, "", result)) == []


@given(said=st.lists(answers, min_size=1, max_size=4))
def test_with_hints_too_every_value_has_a_page_it_came_from(said: list[Any]) -> None:
    result = merged(SCHEMA, *said)
    known = {each.page: each for each in pages(*said)}
    for pointer, places in result.provenance.items():
        assert places, pointer
        assert at(result.value, pointer) is not MISSING
        for place in places:
            page = known[place["page"]]
            assert place == {"page": page.page, "start": page.start, "end": page.end}


@given(a=any_values, b=any_values)
def test_values_are_identical_when_json_schema_calls_them_equal(a: Any, b: Any) -> None:
    assert (identity(a) == identity(b)) == jsonschema_rs.is_valid({"const": a}, b)


@given(numbers=st.lists(cents | st.integers(), min_size=1, max_size=6), data=st.data())
def test_a_total_depends_on_no_order(numbers: list[Any], data: st.DataObject) -> None:
    assert total(data.draw(st.permutations(numbers))) == total(numbers)


@given(
    vectors=st.integers(1, 5).flatmap(
        lambda size: st.lists(
            st.tuples(
                st.lists(st.floats(0.01, 1), min_size=size, max_size=size),
                st.integers(0, 1000),
            ),
            min_size=1,
            max_size=5,
        )
    )
)
def test_an_average_has_length_one_and_stays_between_its_vectors(
    vectors: list[tuple[list[float], int]],
) -> None:
    three = [PageResult(n, n, n + 1, vector, None, tokens) for n, (vector, tokens) in enumerate(vectors)]
    mean = merge_pages("weighted_average", three).value
    assert abs(sum(each * each for each in mean) - 1) < 1e-9
    ratios = [[one / vector[0] for one in vector] for vector, _ in vectors]
    for index, one in enumerate(mean):
        column = [ratio[index] for ratio in ratios]
        assert min(column) * (1 - 1e-9) <= one / mean[0] <= max(column) * (1 + 1e-9)


def _unaccounted(value: Any, result: Any, path: str, whole: Merged) -> Any:
    """Paths whose value is neither in the result nor in a conflict."""
    if value is None:
        return
    if isinstance(value, dict) and isinstance(result, dict):
        for name, inner in value.items():
            pointer = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _unaccounted(inner, result.get(name, MISSING), pointer, whole)
    elif isinstance(value, list) and isinstance(result, list):
        there = {identity(each) for each in result}
        yield from (path for each in value if identity(each) not in there)
    elif result is MISSING or identity(value) != identity(result):
        others = [each["other"] for each in whole.conflicts if each["path"] == path]
        if identity(value) not in map(identity, others):
            yield path


def _holds(value: Any, result: Any, pointer: str, wanted: Any) -> bool:
    """Whether a page's value has the wanted one at the same properties, at any index of a list."""
    for step in steps(pointer):
        if isinstance(result, list):
            return isinstance(value, list) and identity(wanted) in map(identity, value)
        if not isinstance(value, dict) or step not in value:
            return False
        value, result = value[step], result[step]
    return identity(value) == identity(wanted)


def _without_provenance(value: Any, path: str, whole: Merged) -> Any:
    """List items and scalars, outside of list items, for which no page is named."""
    if isinstance(value, dict):
        for name, inner in value.items():
            pointer = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _without_provenance(inner, pointer, whole)
    elif isinstance(value, list):
        yield from (path for index in range(len(value)) if f"{path}/{index}" not in whole.provenance)
    elif path not in whole.provenance and whole.value is not None:
        yield path
