"""The deep merge by example: what is joined, what is kept, what is written down."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from llmreq.limits import MAX_MERGE_CONFLICTS, MERGE_CONFLICT_CHARS
from llmreq.merge.merge import merge_pages
from llmreq.merge.pages import PageResult
from tests.merge.pages import merged, named, page, pages

DOCS = Path(__file__).resolve().parents[2] / "docs" / "merging.md"
KEYED = {"type": "array", "x-key": "id", "items": {"properties": {"id": {}, "n": {"x-merge": "sum"}}}}


@pytest.mark.parametrize(
    ("values", "expected", "conflicts"),
    [
        ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}, []),
        ([{"a": {"x": 1}}, {"a": {"y": 2}}], {"a": {"x": 1, "y": 2}}, []),
        ([["a", "b"], ["b", "c"]], ["a", "b", "c"], []),
        ([["Ada"], ["ada", "Ada "]], ["Ada", "ada", "Ada "], []),
        ([[{"a": 1, "b": 2}], [{"b": 2.0, "a": 1}]], [{"a": 1, "b": 2}], []),
        ([[1, True, "1"], [1.0, True]], [1, True, "1"], []),
        ([[None], [None, 0]], [None, 0], []),
        ([{"a": None}, {"a": "x"}], {"a": "x"}, []),
        ([{"a": None}, {"a": None}], {"a": None}, []),
        ([{"a": 1}, {"a": 1.0}], {"a": 1}, []),
        ([{"a": 1}, {"a": 2}], {"a": 1}, [("/a", 1, 2, 2, "first")]),
        ([{"a": 1}, {"a": True}], {"a": 1}, [("/a", 1, True, 2, "type")]),
        ([{"a": [1]}, {"a": "x"}, {"a": [2]}], {"a": [1, 2]}, [("/a", [1, 2], "x", 2, "type")]),
        ([{"a/b": {"~": 1}}, {"a/b": {"~": 2}}], {"a/b": {"~": 1}}, [("/a~1b/~0", 1, 2, 2, "first")]),
        ([{"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}], {"a": 1}, [("/a", 1, 2, 2, "first"), ("/a", 1, 3, 3, "first")]),
        ([None, {"a": 1}], {"a": 1}, []),
    ],
)  # fmt: skip
def test_without_hints_lists_are_joined_and_a_different_value_is_a_conflict(
    values: list[Any], expected: Any, conflicts: list[tuple[Any, ...]]
) -> None:
    result = merged(None, *values)
    assert json.dumps(result.value) == json.dumps(expected), "1 is not True here"
    assert [tuple(each.values()) for each in result.conflicts] == conflicts


@pytest.mark.parametrize(
    ("rule", "values", "expected", "sources", "conflicts"),
    [
        ("sum", [1, 2, 3], 6, [1, 2, 3], []),
        ("sum", [0.1, 0.2, None], 0.3, [1, 2], []),
        ("sum", [1, "many", 2], 3, [1, 3], ["many"]),
        ("sum", [2, True], 2, [1], [True]),
        ("sum", [1e308, 1e308], 2 * 10**308, [1, 2], []),
        ("sum", [2**70, 1], 2**70 + 1, [1, 2], []),
        ("sum", ["a", "b"], "a", [1], ["b"]),
        ("max", [3, 7.5, 7.5], 7.5, [2, 3], []),
        ("max", ["2026-01-31", "2026-11-30"], "2026-11-30", [2], []),
        ("max", [False, True, True], True, [2, 3], []),
        ("max", [3, "4"], 3, [1], ["4"]),
        ("max", [True, "4", 3], 3, [3], [True, "4"]),
        ("min", [3, -1, 2], -1, [2], []),
        ("min", [True, False], False, [2], []),
        ("first", [None, "a", "b"], "a", [2], []),
        ("last", ["a", {"x": 1}, None], {"x": 1}, [2], []),
    ],
)
def test_a_rule_decides_between_values_and_names_their_pages(
    rule: str, values: list[Any], expected: Any, sources: list[int], conflicts: list[Any]
) -> None:
    schema = {"properties": {"v": {"x-merge": rule}}}
    result = merged(schema, *({"v": value} for value in values))
    assert result.value == {"v": expected}
    assert type(result.value["v"]) is type(expected)
    assert named(result, "/v") == sources
    assert [each["other"] for each in result.conflicts] == conflicts


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b", "a"], ["a", "b"]),
        (["a"], ["a"]),
        ([["a", "b"], "b", ["c"]], ["a", "b", "c"]),
        ([None, None], None),
    ],
)
def test_a_union_is_a_list_whatever_was_said(values: list[Any], expected: Any) -> None:
    assert merged({"x-merge": "union"}, *values).value == expected


@pytest.mark.parametrize(
    ("key", "items", "expected"),
    [
        ("id", [{"id": 1, "n": 1}, {"id": 1.0, "n": 2}, {"id": "1", "n": 4}], [(1, 3), ("1", 4)]),
        ("id", [{"id": "Ada  Byron", "n": 1}, {"id": " ADA\tbyron", "n": 2}], [("Ada  Byron", 3)]),
        ("id", [{"id": "é", "n": 1}, {"id": "e\u0301", "n": 2}], [("é", 3)]),
        ("id", [{"id": "x²", "n": 1}, {"id": "x2", "n": 2}], [("x²", 1), ("x2", 2)]),
        ("id", [{"id": None, "n": 1}, {"id": None, "n": 2}, {"id": None, "n": 1}], [(None, 1), (None, 2)]),
        ("id", [{"id": " ", "n": 1}, {"id": " ", "n": 2}], [(" ", 1), (" ", 2)]),
        ("id", [{"n": 1}, {"n": 2}], [(None, 1), (None, 2)]),
        (["id", "n"], [{"id": "a", "n": 1}, {"id": "a", "n": 2}, {"id": "A", "n": 2}], [("a", 1), ("a", 4)]),
    ],
)
def test_items_with_the_same_key_are_one_and_items_without_it_stay_apart(
    key: Any, items: list[Any], expected: list[tuple[Any, int]]
) -> None:
    for split in range(len(items) + 1):
        result = merged({**KEYED, "x-key": key}, items[:split], items[split:])
        assert [(each.get("id"), each["n"]) for each in result.value] == expected


def test_items_that_match_are_merged_by_their_own_schema_and_name_all_their_pages() -> None:
    schema = {"properties": {"list": {**KEYED}}}
    result = merged(
        schema,
        {"list": [{"id": "a", "n": 1, "tags": ["x"]}, "odd"]},
        {"list": [{"id": "b", "n": 1}, {"id": "A", "n": 5, "tags": ["y", "x"]}, "odd"]},
    )
    assert result.value == {
        "list": [{"id": "a", "n": 6, "tags": ["x", "y"]}, "odd", {"id": "b", "n": 1}],
    }
    assert {path: named(result, path) for path in result.provenance} == {
        "/list/0": [1, 2], "/list/0/id": [1], "/list/0/n": [1, 2], "/list/0/tags/0": [1, 2], "/list/0/tags/1": [2],
        "/list/1": [1, 2], "/list/2": [2],
    }  # fmt: skip
    assert result.conflicts == [
        {"path": "/list/0/id", "kept": "a", "other": "A", "page": 2, "rule": "first"}
    ], "a spelling that was not kept is not silently gone"


def test_a_tuple_is_one_value() -> None:
    schema = {"properties": {"at": {"prefixItems": [{"type": "number"}, {"type": "number"}]}}}
    result = merged(schema, {"at": [5, 5]}, {"at": [5, 7]})
    assert result.value == {"at": [5, 5]}
    assert result.conflicts[0]["other"] == [5, 7]


def test_prose_among_parsed_answers_is_a_conflict_and_prose_alone_is_joined() -> None:
    mixed = merge_pages("merge", [page(1, text="Nothing here."), page(2, {"a": 1})])
    assert mixed.value == {"a": 1}
    assert [(each["other"], each["page"]) for each in mixed.conflicts] == [("Nothing here.", 1)]
    assert merge_pages("merge", [page(1, text="One."), page(2, text="Two.")]).value == "One.\n\nTwo."


def test_conflicts_are_bounded_in_number_and_length() -> None:
    values = [{"a": "x" * 5000, "b": [0]}, *({"a": n, "b": [n]} for n in range(MAX_MERGE_CONFLICTS + 7))]
    conflicts = merged(None, *values).conflicts
    assert len(conflicts) == MAX_MERGE_CONFLICTS + 1
    assert conflicts[-1] == {"more": 7}
    assert len(conflicts[0]["kept"]) == MERGE_CONFLICT_CHARS + 1
    assert conflicts[0]["other"] == 0


def test_deep_nesting_ends_in_a_conflict_and_not_in_a_stack_overflow() -> None:
    def nested(leaf: Any) -> Any:
        value = leaf
        for _ in range(255):
            value = {"a": [value]} if leaf == "list" else {"a": {"a": value}}
        return value

    result = merged(None, nested(1), nested(2.0), nested("list"))
    assert json.dumps(result.value) == json.dumps(nested(1))
    assert [each["page"] for each in result.conflicts] == [2, 3]


def test_pages_are_merged_in_page_order_whatever_order_they_come_in() -> None:
    three = pages({"v": 1, "l": [1]}, {"v": 2, "l": [2]}, {"v": 3, "l": [3]})
    straight = merge_pages("merge", three)
    assert merge_pages("merge", three[::-1]) == straight
    assert straight.value == {"v": 1, "l": [1, 2, 3]}


def test_ten_thousand_items_take_well_under_a_second() -> None:
    schema = {"properties": {"list": KEYED}}
    long = [
        {"list": [{"id": f"item {n}", "n": 1} for n in range(p * 500, p * 500 + 1000)]} for p in range(10)
    ]
    for hints in (schema, None):
        before = time.process_time()
        result = merged(hints, *long)
        assert time.process_time() - before < 1
        assert len(result.value["list"]) == 5500


def test_the_example_in_the_documentation_is_what_happens() -> None:
    schema, answers, value, conflicts, provenance = (
        json.loads(block.partition("```")[0]) for block in DOCS.read_text().split("```json")[1:]
    )
    spans = [(0, 9000), (8800, 15000)]
    result = merge_pages(
        "merge",
        [PageResult(n, *span, answer, None, 5) for n, (span, answer) in enumerate(zip(spans, answers, strict=True), 1)],
        schema,
    )  # fmt: skip
    assert result.value == value
    assert result.conflicts == conflicts
    assert result.provenance == provenance


def test_append_keeps_what_is_said_twice_and_in_its_order() -> None:
    schema = {"properties": {"chunks": {"type": "array", "x-merge": "append"}}}
    pages = [{"chunks": ["a", "b", "a"]}, {"chunks": ["a"]}, {"chunks": "no list"}]
    result = merged(schema, *pages)
    assert result.value == {"chunks": ["a", "b", "a", "a"]}
    assert [each["page"] for each in result.provenance["/chunks/3"]] == [2]
    assert [each["rule"] for each in result.conflicts] == ["append"]
