from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from llmreq.agent.changes import schema_changes
from llmreq.check.schemas import compile_schema
from llmreq.errors import InvalidSchemaError
from llmreq.limits import SCHEMA_CHANGES_TOLD
from tests.check.schema_strategies import NAMES, leaves, values

Schema = dict[str, Any]
TEXT = {"type": "string"}
NUMBER = {"type": "number"}


def _object(required: str = "", **properties: Any) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _list(items: Any) -> Schema:
    return {"type": "array", "items": items}


def _told(old: Schema | None, new: Schema | None) -> list[str]:
    """Each change's message, with a ! where it is breaking."""
    return [f"{'!' * change.breaking}{change.message}" for change in schema_changes(old, new)]


ENTITY = _object("text type", text=TEXT, type={"enum": ["person", "place"]})
ENTITIES = _object("entities", entities=_list(ENTITY))
BY_REFERENCE = {**_object("entities", entities=_list({"$ref": "#/$defs/e"})), "$defs": {"e": ENTITY}}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (None, None, []),
        (None, TEXT, ["!$: is now JSON, was text"]),
        (TEXT, None, ["!$: is now text, was JSON"]),
        (ENTITIES, {**ENTITIES, "description": "Better told", "x-note": 1}, []),
        (ENTITIES, BY_REFERENCE, []),
        ({"$defs": {"e": TEXT}, "allOf": [{"$ref": "#/$defs/e"}, {"maxLength": 9}]}, {**TEXT, "maxLength": 9}, []),
        (_object(a=TEXT, b=TEXT), _object(a=TEXT), ["!b: is no longer a field of the answer"]),
        (_object(a=TEXT), _object(a=TEXT, b=TEXT), ["b: is a new field, not in every answer"]),
        (_object(a=TEXT), _object("b", a=TEXT, b=TEXT), ["b: is a new field, in every answer"]),
        (_object("a", a=TEXT), _object(a=TEXT), ["!a: was in every answer, may now be missing"]),
        (_object(a=TEXT), _object("a", a=TEXT), ["a: is now in every answer"]),
        (_object(a=TEXT), _object(a=NUMBER), ["!a: was string, is now number"]),
        (_object(a=TEXT), _object(a={}), ["!a: was string, is now any value"]),
        (_object(a={}), _object(a=TEXT), ["a: was any value, is now string"]),
        (_object(a=TEXT), _object(a={"type": ["string", "null"]}), ["!a: was string, is now string or null"]),
        (_object(a={"anyOf": [TEXT, {"type": "null"}]}), _object(a=TEXT), ["a: was string or null, is now string"]),
        ({"type": "integer"}, NUMBER, ["!$: was integer, is now number"]),
        (NUMBER, {"type": "integer"}, ["$: was number, is now integer"]),
        ({"enum": ["a", "b"]}, {"enum": ["b", "c"]}, ['!$: may now also be "c"', '$: is no longer "a"']),
        ({"const": 1}, {"enum": [1.0, 1]}, []),
        ({"enum": ["a"]}, TEXT, ['!$: was one of "a", is now any string']),
        (TEXT, {"const": "a"}, ['$: is now only one of "a"']),
        (
            {"anyOf": [{"enum": ["a"]}, {"type": "null"}]},
            {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]},
            ['!$: may now also be "b"'],
        ),
        ({"maximum": 1}, {"maximum": 100}, ["!$: maximum was 1, is now 100"]),
        ({"minItems": 1}, {}, ["!$: minItems was 1, is now not set"]),
        ({"minItems": 1}, {"minItems": 2, "maxLength": 5}, ["$: maxLength was not set, is now 5", "$: minItems was 1, is now 2"]),
        ({"format": "date"}, {"format": "date-time"}, ['!$: format was "date", is now "date-time"']),
        ({**TEXT, "maximum": 1}, TEXT, []),
        (
            ENTITIES,
            _object("entities", entities=_list(_object("type", type={"enum": ["person", "place", "law"]}, name=TEXT))),
            [
                "!entities[].text: is no longer a field of the answer",
                "entities[].name: is a new field, not in every answer",
                '!entities[].type: may now also be "law"',
            ],
        ),
        (_list(_list(TEXT)), _list(_list(NUMBER)), ["![][]: was string, is now number"]),
        (
            {"type": "object", "additionalProperties": NUMBER},
            {"type": "object", "additionalProperties": TEXT},
            ["!*: was number, is now string"],
        ),
        (
            {"type": "object", "additionalProperties": NUMBER},
            {"type": "object", "additionalProperties": False},
            ["!*: are no longer fields of the answer"],
        ),
        (
            {"type": "object", "additionalProperties": NUMBER},
            {"type": "object", "additionalProperties": NUMBER, "properties": {"a": TEXT}},
            ["a: is a new field, not in every answer", "!a: was number, is now string"],
        ),
        (_object(), {"type": "object"}, ["$: may now have fields that the schema does not name"]),
        ({"type": "object"}, _object(), ["$: has only fields that the schema names"]),
        (_object(a=TEXT), _object(a=False), ["!a: can hold no value any more"]),
        (_object(a=False), _object(a=TEXT), ["!a: was never there, is now string"]),
        (_object(**{"odd name": TEXT}), _object(), ['!["odd name"]: is no longer a field of the answer']),
        ({"if": TEXT, "then": {}}, {"if": NUMBER, "then": {}}, ['!$: if was {"type": "string"}, is now {"type": "number"}']),
        (_object(a=TEXT), _list(TEXT), ["!$: was object, is now array"]),
    ],
)  # fmt: skip
def test_each_change_is_told_by_its_place(old: Schema | None, new: Schema | None, told: list[str]) -> None:
    assert _told(old, new) == told


def test_a_recursive_schema_is_followed_until_it_repeats() -> None:
    def tree(value: Schema) -> Schema:
        return _object(a=value, kids=_list({"$ref": "#"}))

    assert _told(tree(TEXT), tree(NUMBER)) == [
        "!a: was string, is now number",
        "!kids[].a: was string, is now number",
    ]


def test_references_that_multiply_end_with_a_word_that_more_is_there() -> None:
    def doubled(leaf: Schema) -> Schema:
        names = {
            f"s{i}": _object(a={"$ref": f"#/$defs/s{i + 1}"}, b={"$ref": f"#/$defs/s{i + 1}"})
            for i in range(14)
        }
        return {"$ref": "#/$defs/s0", "$defs": {**names, "s14": leaf}}

    changes = schema_changes(doubled(TEXT), doubled(NUMBER))
    assert len(changes) == SCHEMA_CHANGES_TOLD
    assert (changes[-1].kind, changes[-1].breaking) == ("unfinished", True)


def test_breaking_changes_come_first_where_not_all_are_told() -> None:
    fields = {f"f{i}": TEXT for i in range(300)}
    changes = schema_changes(_object(a=TEXT), _object(**fields))
    assert changes[0].message == "a: is no longer a field of the answer"
    assert (len(changes), changes[-1].message) == (SCHEMA_CHANGES_TOLD, "$: has 102 more changes")
    assert not changes[-1].breaking


@pytest.mark.parametrize("bad", [{"type": "strin"}, {"$ref": "https://example.com/s.json"}])
def test_what_is_no_schema_is_refused(bad: Schema) -> None:
    with pytest.raises(InvalidSchemaError):
        schema_changes(TEXT, bad)


def _plain_rules(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    small = st.integers(0, 3)
    kinds = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
    return st.fixed_dictionaries(
        {},
        optional={
            "type": kinds | st.lists(kinds, min_size=1, max_size=3, unique=True),
            "enum": st.lists(leaves, min_size=1, max_size=3, unique_by=repr),
            "const": leaves,
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "additionalProperties": inner,
            "items": inner,
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=1),
            **dict.fromkeys(("minimum", "exclusiveMaximum", "minLength", "maxLength", "maxItems"), small),
            "pattern": st.sampled_from(["a", "b"]),
            "not": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "patternProperties": st.dictionaries(st.just("a"), inner, max_size=1),
        },
    )


plain_schemas = st.recursive(st.booleans() | st.just({}), _plain_rules, max_leaves=6).filter(
    lambda schema: isinstance(schema, dict)
)
NEW_FIELDS = {"added", "opened"}


@given(plain_schemas)
def test_a_schema_changes_nothing_against_itself(schema: Schema) -> None:
    assert schema_changes(schema, schema) == []


@st.composite
def versions(draw: st.DrawFn) -> tuple[Schema, Schema]:
    """Two versions of a schema: some rules of the first are kept, some are another's, at the root and one level below."""

    def mixed(a: Any, b: Any, depth: int) -> Any:
        if not (isinstance(a, dict) and isinstance(b, dict)) or not depth:
            return draw(st.sampled_from([a, b]))
        made = {key: mixed(a.get(key), b.get(key), depth - 1) for key in a | b}
        return {key: value for key, value in made.items() if value is not None}

    old, other = draw(plain_schemas), draw(plain_schemas)
    return old, mixed(old, other, 3)


@given(versions(), st.lists(values, min_size=1, max_size=8))
@example(({"items": TEXT}, {"items": TEXT, "prefixItems": [{}]}), [[1]])
def test_where_nothing_breaks_every_new_answer_is_one_the_old_schema_allowed(
    pair: tuple[Schema, Schema], answers: list[Any]
) -> None:
    old, new = pair
    changes = schema_changes(old, new)
    assume(not any(change.breaking or change.kind in NEW_FIELDS for change in changes))
    before, after = compile_schema(old), compile_schema(new)
    assert [a for a in answers if after.is_valid(a) and not before.is_valid(a)] == []
