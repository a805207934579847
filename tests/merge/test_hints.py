"""x-merge and x-key are found where people write them, and said to be wrong where they are."""

from __future__ import annotations

from typing import Any

import pytest

from llmreq.errors import InvalidSchemaError
from llmreq.merge.hints import check_merge_hints
from llmreq.merge.merge import merge_pages
from tests.merge.pages import merged, pages

SUM: dict[str, Any] = {"type": "integer", "x-merge": "sum"}
OBJECT: dict[str, Any] = {"type": "object", "properties": {"n": SUM}}
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"n": SUM}},
        {"properties": {"n": {"$ref": "#/$defs/count"}}, "$defs": {"count": SUM}},
        {"properties": {"n": {"$ref": "#count"}}, "$defs": {"count": {**SUM, "$anchor": "count"}}},
        {"$schema": DRAFT_7, "properties": {"n": {"$ref": "#/definitions/i", "x-merge": "sum"}}, "definitions": {"i": {}}},
        {"$ref": "#/$defs/all", "$defs": {"all": OBJECT}},
        {"allOf": [{"type": "object"}, OBJECT]},
        {"allOf": [{"properties": {"n": {"type": "integer"}}}, {"allOf": [OBJECT]}]},
        {"properties": {"n": {"anyOf": [SUM, {"type": "null"}]}}},
        {"properties": {"n": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/count"}]}}, "$defs": {"count": SUM}},
        {"properties": {"m": {"x-merge": "max"}}, "additionalProperties": SUM},
        {"properties": {"n": {"x-merge": "sum", "$ref": "#/$defs/count"}}, "$defs": {"count": {"x-merge": "max"}}},
    ],
)  # fmt: skip
def test_a_hint_is_found_through_references_and_combinations(schema: dict[str, Any]) -> None:
    assert merged(schema, {"n": 1}, {"n": 2}, {"n": None}).value == {"n": 3}
    assert [problem for problem in check_merge_hints(schema) if "$defs/count" not in problem] == []


def test_a_schema_of_a_tree_is_followed_as_deep_as_the_answer_goes() -> None:
    node = {
        "type": "object",
        "properties": {"id": {}, "n": SUM, "kids": {"type": "array", "x-key": "id", "items": {"$ref": "#"}}},
    }

    def tree(n: int, depth: int = 12) -> dict[str, Any]:
        return {"id": "k", "n": n, "kids": [tree(n, depth - 1)] if depth else []}

    assert check_merge_hints(node) == []
    assert merged(node, tree(1), tree(2)).value == tree(3)


@pytest.mark.parametrize("word", ["add", "SUM", None, ["sum"], True, {}])
def test_an_unknown_rule_is_refused_with_its_place_and_the_words_that_exist(word: Any) -> None:
    schema = {"properties": {"people": {"items": {"properties": {"count": {"x-merge": word}}}}}}
    message = (
        r"at #/properties/people/items/properties/count is unknown: say one of sum, max, min, first, last"
    )
    with pytest.raises(ValueError, match=message):
        merge_pages("merge", pages({}), schema)
    assert len(check_merge_hints(schema)) == 1


@pytest.mark.parametrize("key", ["", [], [1], None, {"a": 1}, ["a", ""]])
def test_a_key_that_names_nothing_is_refused(key: Any) -> None:
    with pytest.raises(ValueError, match=r"x-key .* at #/properties/a is no property name"):
        merge_pages("merge", pages({}), {"properties": {"a": {"x-key": key}}})


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "string", "x-merge": "sum"}, "x-merge 'sum' at # needs the type integer or number"),
        ({"type": ["null", "object"], "x-merge": "max"}, "x-merge 'max' at # needs the type boolean or"),
        ({"type": "string", "x-merge": "union"}, "x-merge 'union' at # needs the type array"),
        ({"type": "object", "x-key": "a"}, "x-key at # needs the type array"),
        ({"x-key": "a", "x-merge": "last"}, "x-key at # is never used beside x-merge 'last'"),
        ({"x-key": "nme", "items": {"properties": {"name": {}}}}, "names 'nme', which its items do not declare"),
        ({"items": {"properties": {"n": SUM}}}, "x-merge at #/items/properties/n is never used"),
        ({"prefixItems": [SUM]}, "x-merge at #/prefixItems/0 is never used"),
        ({"patternProperties": {"^n": SUM}}, "x-merge at #/patternProperties/^n is never used"),
        ({"anyOf": [SUM, {"type": "string"}]}, "x-merge at #/anyOf/0 is never used"),
        ({"if": {"x-key": "a"}, "x-merge": "last"}, "x-key at #/if is never used"),
        ({"properties": {"a": {"x-merge": "last", "properties": {"n": SUM}}}}, "at #/properties/a/properties/n is"),
    ],
)  # fmt: skip
def test_a_hint_without_effect_is_pointed_out(schema: dict[str, Any], problem: str) -> None:
    problems = check_merge_hints(schema)
    assert len(problems) == 1
    assert problem in problems[0]
    assert "\n" not in problems[0]


def test_a_property_that_is_called_like_a_hint_is_none() -> None:
    schema = {"properties": {"x-merge": {"type": "string"}, "x-key": SUM}, "default": {"x-merge": "add"}}
    assert check_merge_hints(schema) == []
    assert merged(schema, {"x-key": 1}, {"x-key": 2}).value == {"x-key": 3}


@pytest.mark.parametrize("schema", [None, True, {}, {"type": "object"}])
def test_no_hints_are_no_problem(schema: Any) -> None:
    assert check_merge_hints(schema) == []


@pytest.mark.parametrize("reference", ["#", "#/$defs/none", "https://example.org/s.json"])
def test_a_reference_that_leads_nowhere_is_an_invalid_schema(reference: str) -> None:
    with pytest.raises(InvalidSchemaError):
        check_merge_hints({"$ref": reference})
    with pytest.raises(InvalidSchemaError):
        merge_pages("merge", pages({}), {"$ref": reference})
