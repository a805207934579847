"""Our verdicts and error paths against python-jsonschema, on random schemas and values."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings

from llmreq.check.explain import explain
from llmreq.check.schemas import compile_schema
from tests.check.schema_strategies import schemas, values

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


def _theirs(schema: Any, value: Any) -> set[tuple[tuple[str | int, ...], str]]:
    return {
        (tuple(error.absolute_path), error.validator) if error.validator else _FALSE
        for error in jsonschema.Draft202012Validator(schema).iter_errors(value)
    }


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas(), values)
def test_verdicts_paths_and_rules_are_those_of_the_reference(schema: Any, value: Any) -> None:
    theirs = _theirs(schema, value)
    compiled = compile_schema(schema)
    assert compiled.is_valid(value) == (not theirs), json.dumps([schema, value])
    if theirs:
        assert _ours(schema, value) == theirs, json.dumps([schema, value])
