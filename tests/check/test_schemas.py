from __future__ import annotations

import threading
from typing import Any

import pytest

from llmreq.check import schemas
from llmreq.check.schemas import compile_schema
from llmreq.check.tools import compile_tools
from llmreq.errors import InvalidRequestError, InvalidSchemaError
from llmreq.limits import MAX_SCHEMA_BYTES

DRAFT_07 = "http://json-schema.org/draft-07/schema#"


def _nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def _doubling(levels: int) -> dict[str, Any]:
    steps = {f"s{i}": {"allOf": [{"$ref": f"#/$defs/s{i + 1}"}] * 2} for i in range(levels)}
    return {"$defs": {**steps, f"s{levels}": {}}, "$ref": "#/$defs/s0"}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ([], "an array"),
        ("{}", "a string"),
        (None, "null"),
        ({"type": "strin"}, "#/type"),
        ({"minimum": float("nan")}, "#/minimum"),
        ({"$schema": "http://other/dialect"}, "not supported"),
        ({"properties": {"x": {"$schema": DRAFT_07}}}, "mixes dialects"),
        ({"$ref": "https://example.com/schema.json"}, "leads outside"),
        ({"$ref": "file:///etc/passwd"}, "leads outside"),
        ({"$ref": "other.json#/a"}, "leads outside"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "leads outside"),
        ({"items": {"$dynamicRef": "//host/x"}}, "leads outside"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "leads to nothing"),
        ({"$ref": "#nowhere"}, "leads to nothing"),
        ({"$ref": "#"}, "without end"),
        ({"not": {"anyOf": [{"$ref": "#"}, True]}}, "without end"),
        (
            {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
            "without end",
        ),
        ({"pattern": "("}, "regular expression"),
        ({"patternProperties": {"[": {}}}, "regular expression"),
        ({"pattern": "(?!x)y{99999999}"}, "regular expression"),
        ({"description": "x" * MAX_SCHEMA_BYTES}, "bytes"),
        (_nested(100_000), "too deep"),
        (_nested(600), "compiled"),
        (_doubling(22), "expands to more"),
        ({"const": "\ud800"}, "compiled"),
    ],
    ids=lambda case: case[:30] if isinstance(case, str) else "",
)
def test_a_useless_schema_is_refused_in_one_clear_line(schema: Any, says: str) -> None:
    with pytest.raises(InvalidSchemaError) as refused:
        compile_schema(schema)
    assert says in refused.value.message
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 600


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"properties": {"$ref": {"type": "string"}}}, {"$ref": "x"}, {"$ref": 1}),
        ({"enum": [{"$ref": "http://not/a/reference"}]}, {"$ref": "http://not/a/reference"}, 1),
        ({"$id": "http://e.com/root", "$defs": {"a": {"$id": "a", "type": "string"}}, "$ref": "a"}, "x", 1),
        ({"$id": "urn:x:y", "$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"}, "x", 1),
        ({"$defs": {"a": {"$anchor": "here", "type": "string"}}, "items": {"$ref": "#here"}}, ["x"], [1]),
        ({"x-parts": {"a b": {"type": "string"}}, "$ref": "#/x-parts/a%20b"}, "x", 1),
        ({"properties": {"next": {"$ref": "#"}}, "type": "object"}, {"next": {}}, {"next": {"next": 1}}),
        ({"$schema": DRAFT_07, "items": [{"type": "string"}], "additionalItems": False}, ["x"], ["x", 1]),
        ({"$schema": DRAFT_07, "definitions": {"a": {"$id": "#a"}}, "$ref": "#a", "type": "null"}, 1, None),
        ({"maximum": 10**30}, 10**30, 10**30 + 1),
    ],
)
def test_references_and_dialects_mean_what_the_standard_says(schema: Any, good: Any, bad: Any) -> None:
    compiled = compile_schema(schema)
    assert compiled.is_valid(good)
    if bad is not None:
        assert not compiled.is_valid(bad)


def test_the_same_schema_is_compiled_once_whatever_its_key_order_and_the_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schemas, "COMPILED_SCHEMAS_KEPT", 3)
    first = compile_schema({"type": "object", "title": "kept"})
    assert compile_schema({"title": "kept", "type": "object"}) is first
    for number in range(3):
        compile_schema({"minimum": number})
        compile_schema({"title": "kept", "type": "object"})
    assert compile_schema({"type": "object", "title": "kept"}) is first
    assert len(schemas._kept) == 3


def test_a_caller_who_changes_a_schema_later_changes_no_compiled_one() -> None:
    mine: dict[str, Any] = {"type": "string", "title": "mine"}
    compiled = compile_schema(mine)
    mine["type"] = "integer"
    assert compiled.schema == {"type": "string", "title": "mine"}


def test_threads_compile_and_evict_together_without_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "COMPILED_SCHEMAS_KEPT", 2)
    wrong: list[int] = []

    def work() -> None:
        for number in range(300):
            compiled = compile_schema({"const": number % 7})
            if not compiled.is_valid(number % 7) or compiled.is_valid(-1):
                wrong.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(schemas._kept) <= 2


def test_tools_are_read_in_all_three_common_forms() -> None:
    shape = {"type": "object", "required": ["q"]}
    tools = compile_tools(
        [
            {"name": "ours", "parameters": shape},
            {"type": "function", "function": {"name": "openai", "parameters": shape}},
            {"name": "anthropic", "input_schema": shape},
            {"name": "bare"},
        ]
    )
    assert list(tools.by_name) == ["ours", "openai", "anthropic", "bare"]
    assert [tools.by_name[name].is_valid({}) for name in tools.by_name] == [False, False, False, True]


@pytest.mark.parametrize(
    "tools",
    [{}, "x", [1], [{}], [{"name": ""}], [{"name": 1}], [{"function": 1}], [{"name": "a"}, {"name": "a"}]],
)
def test_tools_of_a_wrong_shape_are_an_invalid_request(tools: Any) -> None:
    with pytest.raises(InvalidRequestError):
        compile_tools(tools)


def test_a_bad_tool_schema_names_its_tool() -> None:
    with pytest.raises(InvalidSchemaError, match="'search'") as refused:
        compile_tools([{"name": "search", "parameters": {"type": 1}}])
    assert refused.value.details["field"] == "tools[0]"
