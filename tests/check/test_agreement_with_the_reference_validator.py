"""Our verdicts and error paths against python-jsonschema, on random schemas and values."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from llmreq.check.explain import explain
from llmreq.check.schemas import compile_schema
from tests.check.schema_strategies import schemas, values

Validator: TypeAlias = (
    jsonschema.Draft202012Validator | jsonschema.Draft201909Validator | jsonschema.Draft7Validator
)
_CURRENT = "https://json-schema.org/draft/2020-12/schema"
DEFAULT = jsonschema.Draft202012Validator
DIALECTS: dict[str, type[Validator]] = {
    _CURRENT: DEFAULT,
    "https://json-schema.org/draft/2019-09/schema": jsonschema.Draft201909Validator,
    "http://json-schema.org/draft-07/schema#": jsonschema.Draft7Validator,
}
_AT_THE_PARENT = {"required", "additionalProperties", "dependentRequired"}
_CONTAINS = {"minContains": "contains", "maxContains": "contains"}


_FALSE: tuple[tuple[str | int, ...], str] = ((), "false_schema")


def _ours(schema: Any, value: Any) -> set[tuple[tuple[str | int, ...], str]]:
    found = set()
    for each in explain(compile_schema(schema), value, rereads=50):
        if each.rule == "false_schema":
            found.add(_FALSE)  # the reference names the parent's path for these, or a grandparent's
            continue
        path = (
            each.path[:-1]
            if each.rule in _AT_THE_PARENT or "/propertyNames" in each.schema_path
            else each.path
        )
        found.add((path, _CONTAINS.get(each.rule, each.rule)))
    return found


def _theirs(validator: type[Validator], schema: Any, value: Any) -> set[tuple[tuple[str | int, ...], str]]:
    return {
        (tuple(error.absolute_path), error.validator) if error.validator else _FALSE
        for error in validator(schema).iter_errors(value)
    }


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas(), values)
def test_verdicts_paths_and_rules_are_those_of_the_reference(dialect: str, schema: Any, value: Any) -> None:
    if isinstance(schema, dict):
        schema = {"$schema": dialect, **schema}
    theirs = _theirs(DIALECTS[dialect] if isinstance(schema, dict) else DEFAULT, schema, value)
    assert compile_schema(schema).is_valid(value) == (not theirs), json.dumps([schema, value])
    if theirs:
        ours = _ours(schema, value)
        if dialect != _CURRENT:  # there the reference has one error for each item of `items: false`
            ours = {_FALSE if rule == "items" else (path, rule) for path, rule in ours}
        assert ours == theirs, json.dumps([schema, value])
