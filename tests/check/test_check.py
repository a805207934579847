from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmreq.check.check import Checked, check_text, check_tool_calls
from llmreq.check.schemas import compile_schema
from llmreq.check.tools import compile_tools
from llmreq.errors import ErrorCode
from llmreq.limits import MAX_VALIDATION_ERRORS
from llmreq.wire.outcome import ToolCall
from tests.check.schema_strategies import schemas, values

PERSON = compile_schema(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Z]"},
            "age": {"type": "integer", "minimum": 0},
            "mood": {"enum": ["good", "bad"]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)
TOOLS = compile_tools(
    [
        {
            "name": "find",
            "parameters": {
                "properties": {"n": {"type": "integer"}, "q": {"maxLength": 9}},
                "required": ["q"],
            },
        }
    ]
)


def _errors(schema: Any, value: Any) -> list[tuple[str, str, str, str]]:
    checked = check_text(json.dumps(value), schema=compile_schema(schema))
    return [(each["field"], each["message"], each["rule"], each["schema_path"]) for each in checked.errors]


def test_all_errors_are_told_sorted_by_path_in_the_contracts_shape() -> None:
    checked = check_text('{"name": "bob", "mood": "so", "tags": ["a", 1, 2], "x y": 1}', schema=PERSON)
    assert checked.code == ErrorCode.SCHEMA_MISMATCH
    assert [(error["field"], error["message"]) for error in checked.errors] == [
        ("age", "must have required property 'age'"),
        ("mood", 'must be one of: "good", "bad"'),
        ("name", 'must match pattern "^[A-Z]"'),
        ("tags[1]", "must be string"),
        ("tags[2]", "must be string"),
        ('["x y"]', "must NOT have additional property 'x y'"),
    ]
    assert checked.errors[3] == {
        "type": "schema_error",
        "field": "tags[1]",
        "message": "must be string",
        "rule": "type",
        "schema_path": "/properties/tags/items/type",
    }


@pytest.mark.parametrize(
    ("schema", "value", "error"),
    [
        ({"type": ["object", "null"]}, 1, ("$", "must be object or null", "type", "/type")),
        ({"minimum": 0}, -1, ("$", "must be >= 0", "minimum", "/minimum")),
        ({"items": False}, [1, 2], ("$", "must NOT have more than 0 items", "items", "/items")),
        (
            {"properties": {"a": False}},
            {"a": 1},
            ("a", "must NOT be present", "false_schema", "/properties/a"),
        ),
        (
            {"unevaluatedProperties": False},
            {"a": 1},
            ("$", "must NOT have unevaluated properties", "unevaluatedProperties", "/unevaluatedProperties"),
        ),
        (
            {"$defs": {"d/": {"items": {"type": "null"}}}, "properties": {"a": {"$ref": "#/$defs/d~1"}}},
            {"a": [1]},
            ("a[0]", "must be null", "type", "/$defs/d~1/items/type"),
        ),
        (
            {"oneOf": [{"minimum": 1}, {"minimum": 2}]},
            3,
            ("$", "must match exactly one schema in oneOf (matches 2)", "oneOf", "/oneOf"),
        ),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["b"]}},
            {"a": 1},
            ("b", "must have required property 'b'", "dependencies", "/dependencies"),
        ),
    ],
)
def test_messages_are_short_and_name_rule_and_place(schema: Any, value: Any, error: tuple[str, ...]) -> None:
    assert _errors(schema, value) == [error]


def test_many_errors_are_cut_and_the_rest_is_counted() -> None:
    some = _errors({"items": {"type": "string"}}, [1] * (MAX_VALIDATION_ERRORS + 7))
    assert len(some) == MAX_VALIDATION_ERRORS + 1
    assert [field for field, *_ in some[:3]] == ["[0]", "[1]", "[2]"]
    assert some[-1][1:3] == ("7 more errors are not listed", "too_many_errors")
    assert _errors({"items": {"type": "string"}}, [1] * 5000)[-1][1].startswith("at least 900 more")


def test_no_message_repeats_much_of_what_the_model_wrote() -> None:
    secret = "s" * 5000
    checked = check_text(
        json.dumps({secret: secret, "name": secret, "age": secret, "mood": secret}), schema=PERSON
    )
    assert len(checked.errors) == 4
    assert all(error["message"].count("s") + error["field"].count("s") < 150 for error in checked.errors)


@pytest.mark.parametrize(
    ("text", "schema", "allow_text", "wanted"),
    [
        ("hello", None, False, (None, False, None)),
        (' {"a": 1}', None, False, ({"a": 1}, True, None)),
        ('```json\n{"a": 1}\n```', None, False, ({"a": 1}, True, None)),
        ("```js\n{ let a }\n```", None, False, (None, False, None)),
        ('hello {"a": 1}', None, False, (None, False, None)),
        (' {"a": 1', None, False, (None, False, ErrorCode.MALFORMED_JSON)),
        ("[1, 2] it is", None, False, ([1, 2], True, None)),
        ("hello", PERSON, True, (None, False, None)),
        ('hello {"a": 1}', PERSON, True, (None, False, None)),
        ("```json\n{oops}\n```", PERSON, True, (None, False, ErrorCode.MALFORMED_JSON)),
        ("{oops}", PERSON, True, (None, False, ErrorCode.MALFORMED_JSON)),
        ("{}", PERSON, True, (None, True, ErrorCode.SCHEMA_MISMATCH)),
        ("hello", PERSON, False, (None, False, ErrorCode.MALFORMED_JSON)),
        ("null", compile_schema({"type": "null"}), False, (None, True, None)),
        ('Here: {"name": "Al", "age": 1}', PERSON, False, ({"name": "Al", "age": 1}, True, None)),
    ],
)
def test_prose_and_json_are_told_apart_by_schema_and_permission(
    text: str, schema: Any, allow_text: bool, wanted: tuple[Any, bool, ErrorCode | None]
) -> None:
    checked = check_text(text, schema=schema, allow_text=allow_text)
    assert (checked.parsed, checked.is_json, checked.code) == wanted


def test_a_nul_that_jsonb_refuses_is_replaced_and_recorded() -> None:
    checked = check_text('{"a": "x\\u0000", "b": "\\\\u0000"}')
    assert checked.parsed == {"a": "x�", "b": "\\u0000"}
    assert checked.repairs == ({"type": "unstorable_characters", "replaced_in": 1},)


def _assert_sound(checked: Checked) -> None:
    assert (checked.code is None) == (not checked.errors)
    assert checked.code in (None, ErrorCode.MALFORMED_JSON, ErrorCode.SCHEMA_MISMATCH)
    assert checked.parsed is None or checked.code is None
    stored = orjson.dumps([checked.parsed, checked.errors, checked.repairs], default=str)
    assert b"\\u0000" not in stored.replace(b"\\\\", b"")


anything = (
    st.text(alphabet=st.characters(codec=None, categories=None))
    | st.text(alphabet='`{}[]":,\\u0 \n\ufeffaj1')
    | values.map(json.dumps)
)


@settings(max_examples=300, deadline=None)
@given(anything, st.none() | schemas().map(compile_schema), st.booleans())
def test_any_text_at_all_is_either_good_or_has_errors_and_a_code(
    text: str, schema: Any, allow_text: bool
) -> None:
    _assert_sound(check_text(text, schema=schema, allow_text=allow_text))


def test_good_tool_calls_become_the_contracts_answer() -> None:
    calls = [ToolCall("1", "find", {"q": "a"}), ToolCall("2", "find", {"q": "b\ud800"})]
    checked = check_tool_calls(calls, TOOLS, '{"done": true}')
    assert checked.parsed == {
        "tool_calls": [
            {"id": "1", "tool_name": "find", "params": {"q": "a"}},
            {"id": "2", "tool_name": "find", "params": {"q": "b�"}},
        ],
        "final_response": {"done": True},
    }
    assert checked.code is None
    assert checked.repairs == ({"type": "unstorable_characters", "replaced_in": 1},)
    assert check_tool_calls(calls, TOOLS, "on it").parsed["final_response"] == "on it"
    assert check_tool_calls(calls, TOOLS).parsed["final_response"] is None


def test_each_fault_of_a_tool_call_has_its_own_place() -> None:
    calls = [
        ToolCall("1", "fnd", {}),
        ToolCall("2", "find", None, raw='{"q": '),
        ToolCall("3", "find", None, raw="[1]"),
        ToolCall("4", "find", {"n": "x"}),
    ]
    checked = check_tool_calls(calls, TOOLS)
    assert [(error["type"], error["field"], error["message"]) for error in checked.errors] == [
        ("schema_error", "tool_calls[0].tool_name", "'fnd' is no offered tool; must be one of: find"),
        ("json_decode_error", "tool_calls[1].params", "unexpected end of data"),
        ("json_decode_error", "tool_calls[2].params", "parameters must be a JSON object"),
        ("schema_error", "tool_calls[3].params.n", "must be integer"),
        ("schema_error", "tool_calls[3].params.q", "must have required property 'q'"),
    ]
    assert (checked.code, checked.parsed) == (ErrorCode.MALFORMED_JSON, None)


def test_parameters_that_are_no_object_by_their_schema_say_so() -> None:
    tools = compile_tools([{"name": "t", "parameters": {"type": "array"}}])
    (error,) = check_tool_calls([ToolCall("1", "t", {})], tools).errors
    assert (error["field"], error["message"]) == ("tool_calls[0].params", "must be array")
