"""Random schemas and values that meet: few property names, small numbers, to hit and miss the rules."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "c", "odd name", "x/y~z", "é"])
SMALL = st.integers(0, 3)
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
PATTERNS = ["^a", "b$", "^[a-c]+$", "é"]

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.sampled_from([0.5, 1.0, 2.5]),
    st.sampled_from(["", "a", "abc", "é"]),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def _rules(inner: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, inner, max_size=3)
    return {
        "type": st.sampled_from(TYPES)
        | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
        "enum": st.lists(leaves, min_size=1, max_size=3, unique_by=repr),
        "const": leaves,
        "minimum": SMALL,
        "exclusiveMaximum": SMALL,
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "minLength": SMALL,
        "maxLength": SMALL,
        "pattern": st.sampled_from(PATTERNS),
        "minItems": SMALL,
        "maxItems": SMALL,
        "uniqueItems": st.booleans(),
        "required": st.lists(NAMES, max_size=3, unique=True),
        "maxProperties": SMALL,
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=2),
        "properties": named,
        "patternProperties": st.dictionaries(st.sampled_from(PATTERNS), inner, max_size=2),
        "additionalProperties": inner,
        "dependentSchemas": named,
        "propertyNames": st.sampled_from(
            [True, False, {"maxLength": 1}, {"pattern": "^[a-c]$"}, {"const": "a"}]
        ),
        "prefixItems": some,
        "items": inner,
        "contains": inner,
        "allOf": some,
        "anyOf": some,
        "oneOf": some,
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
    }


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    rules = _rules(inner)
    chosen = st.lists(st.sampled_from(sorted(rules)), max_size=4, unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries({name: rules[name] for name in names}))


_bare = st.recursive(st.booleans() | _objects(st.booleans()), _objects, max_leaves=8)


@st.composite
def schemas(draw: st.DrawFn) -> Any:
    """A schema; sometimes a recursive one: a property of every level refers back to a definition."""
    schema = draw(_bare)
    if isinstance(schema, dict) and draw(st.booleans()):
        definition = draw(_objects(st.just({"$ref": "#/$defs/d~1"}) | st.booleans()))
        for here in ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"):
            definition.pop(here, None)  # through these the definition would refer to itself without end
        schema = {**schema, "$ref": "#/$defs/d~1", "$defs": {"d/": definition}}
    return schema
