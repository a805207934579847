"""OpenAI Chat Completions: what is sent for each part of a call, and what each answer becomes."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from llmreq.errors import ErrorCode, InvalidRequestError
from llmreq.wire.openai import OpenAI
from llmreq.wire.outcome import Answer, Billed, Call, HttpResponse, ToolCall, Usage
from llmreq.wire.provider import Provider
from llmreq.wire.rate_headers import RateHeaders

PROVIDER = Provider("openai", "openai", "https://o.test/v1", "sk-o")
USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
TOOL = {"name": "find", "description": "finds", "parameters": SCHEMA}
FIND = {"type": "function", "function": {"name": "find"}}
COUNTS = {"prompt_tokens": 10, "completion_tokens": 4}


def built(**columns: Any) -> dict[str, Any]:
    call = Call(**{"model": "gpt-4o-mini", "messages": [USER], "max_output_tokens": 9, **columns})
    body = orjson.loads(OpenAI.build(PROVIDER, call).body)
    assert isinstance(body, dict)
    return body


def parsed(message: Any, finish: Any = "stop", usage: Any = COUNTS, **headers: str) -> Answer:
    body = {"model": "m-1", "choices": [{"message": message, "finish_reason": finish}], "usage": usage}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return OpenAI.parse(PROVIDER, HttpResponse(200, named, orjson.dumps(body)), 0.0)


def called(function: Any, **more: Any) -> ToolCall:
    (call,) = parsed({"tool_calls": [{"id": "c1", "function": function, **more}]}).tool_calls
    return call


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ({"role": "system", "content": "s"}, {"role": "system", "content": "s"}),
        ({"role": "developer", "content": "d"}, {"role": "developer", "content": "d"}),
        ({"role": "user", "content": "u", "name": "ann"}, {"role": "user", "content": "u", "name": "ann"}),
        ({"role": "user", "content": [{"type": "text", "text": "u"}]},
         {"role": "user", "content": [{"type": "text", "text": "u"}]}),
        ({"role": "assistant", "content": "a", "tool_calls": None}, {"role": "assistant", "content": "a"}),
        ({"role": "user", "content": "u", "tool_calls": "not the user's"}, {"role": "user", "content": "u"}),
        ({"role": "tool", "tool_call_id": "c1", "content": "t"}, {"role": "tool", "tool_call_id": "c1", "content": "t"}),
        ({"role": "tool", "tool_call_id": "c1"}, {"role": "tool", "tool_call_id": "c1", "content": ""}),
        ({"role": "tool", "tool_call_id": "c1", "content": {"a": 1}},
         {"role": "tool", "tool_call_id": "c1", "content": '{"a":1}'}),
        ({"role": "tool", "tool_call_id": "c1", "content": ["a", {"text": "b"}, {"text": None}, 5]},
         {"role": "tool", "tool_call_id": "c1", "content": "a\n\nb"}),
    ],
)  # fmt: skip
def test_each_role_is_sent_in_its_own_form(message: dict[str, Any], sent: dict[str, Any]) -> None:
    assert built(messages=[message])["messages"] == [sent]


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ({"tool_name": "find", "params": {"a": 1}}, '{"a":1}'),
        ({"tool_name": "find"}, "{}"),
        ({"tool_name": "find", "params": ""}, "{}"),
        ({"function": {"name": "find", "arguments": '{"a": 1}'}}, '{"a":1}'),
        ({"function": {"name": "find", "arguments": {"a": 1}}}, '{"a":1}'),
        ({"tool_name": "find", "params": {"a": 2**70}}, '{"a": 1180591620717411303424}'),
    ],
)
def test_a_tool_call_of_an_earlier_turn_is_sent_with_its_arguments_as_text(
    call: dict[str, Any], arguments: str
) -> None:
    turn = {"role": "assistant", "tool_calls": [{"id": "c1", **call}]}
    (sent,) = built(messages=[turn])["messages"]
    function = {"name": "find", "arguments": arguments}
    assert sent["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
    assert sent["content"] is None


@pytest.mark.parametrize(
    "tool",
    [
        TOOL,
        {"type": "function", "function": TOOL},
        {"name": "find", "description": "finds", "input_schema": SCHEMA},
    ],
)
def test_a_tool_in_any_vendors_form_is_sent_nested(tool: dict[str, Any]) -> None:
    assert built(tools=[tool])["tools"] == [{"type": "function", "function": TOOL}]


def test_a_tool_needs_only_a_name() -> None:
    (tool,) = built(tools=[{"name": "now"}])["tools"]
    empty = {"type": "object", "properties": {}}
    assert tool["function"] == {"name": "now", "description": "", "parameters": empty}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"), ("none", "none"), ("required", "required"), ("any", "required"), ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"), ({"type": "any"}, "required"), ({"name": "find"}, FIND),
        ({"type": "tool", "name": "find"}, FIND), (FIND, FIND),
    ],
)  # fmt: skip
def test_a_tool_choice_is_sent_in_openais_words(choice: Any, sent: Any) -> None:
    assert built(tools=[TOOL], tool_choice=choice)["tool_choice"] == sent


@pytest.mark.parametrize("tools", [None, []])
def test_a_tool_choice_without_tools_is_not_sent(tools: Any) -> None:
    assert built(tools=tools, tool_choice="required").keys().isdisjoint({"tools", "tool_choice"})


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"messages": None}, "messages must be a list"),
        ({"messages": {"role": "user"}}, "messages must be a list"),
        ({"messages": [USER, "hi"]}, "messages[1]"),
        ({"messages": [{"role": ["user"]}]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "t"}]}, "tool_call_id"),
        ({"messages": [{"role": "tool", "tool_call_id": 5}]}, "tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": {"id": "c1"}}]}, "must be a list"),
        ({"messages": [{"role": "assistant", "tool_calls": ["find"]}]}, "must be objects"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"tool_name": "find"}]}]}, '"id"'),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c1"}]}]}, '"tool_name"'),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c1", "tool_name": "f", "params": "{"}]}]},
         "'c1' are not JSON"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c1", "tool_name": "f", "params": "1"}]}]},
         "'c1' must be an object"),
        ({"tools": 5}, "tools must be a list"),
        ({"tools": [TOOL, {}]}, "tools[1]"),
        ({"tools": [{"name": ""}]}, "tools[0]"),
        ({"tools": [{"name": 5}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": "find"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0]"),
        ({"tools": [TOOL], "tool_choice": "find"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": {"type": "any"}}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": ["auto"]}, "tool_choice"),
        ({"params": "temperature"}, "params must be an object"),
        *(
            ({"params": {name: 1}}, repr(name))
            for name in ("model", "Model", "messages", "stream", "n", "tools", "response_format", "api_key", "extra_headers",
                         "authorization", "base_url")
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_by_name(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        built(**columns)
    assert says in raised.value.message


@pytest.mark.parametrize(
    ("model", "params", "sent"),
    [
        ("gpt-4o-mini", None, {}),
        ("gpt-4o-mini", {"temperature": 0, "top_p": 1, "stop": "x"}, {"temperature": 0, "top_p": 1, "stop": "x"}),
        ("gpt-4o-mini", {"max_tokens": 1, "max_output_tokens": 1, "max_completion_tokens": 1}, {}),
        ("gpt-4o-mini", {"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
        ("o3", {"temperature": 0, "logprobs": True, "seed": 1}, {"seed": 1}),
        ("gpt-5.1", {"effort": "none", "temperature": 0}, {"reasoning_effort": "none", "temperature": 0}),
        ("gpt-6-luna", {"effort": "high", "temperature": 0}, {"reasoning_effort": "high"}),
        ("gpt-6-luna", {"effort": "high", "reasoning_effort": "low"}, {"reasoning_effort": "high"}),
    ],
)  # fmt: skip
def test_params_go_under_their_name_if_the_model_takes_them(
    model: str, params: Any, sent: dict[str, Any]
) -> None:
    own = {"model": model, "messages": [USER], "max_completion_tokens": 9}
    assert built(model=model, params=params) == {**own, **sent}


@pytest.mark.parametrize(
    ("model", "tools", "effort"),
    [("gpt-6-luna", [TOOL], "none"), ("gpt-5.6", [TOOL], "none"), ("gpt-6-luna", None, None), ("o3", [TOOL], None)],
)  # fmt: skip
def test_a_model_that_takes_tools_only_without_reasoning_is_told_not_to(
    model: str, tools: Any, effort: str | None
) -> None:
    assert built(model=model, tools=tools).get("reasoning_effort") == effort


def strict(**more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": more}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        (strict(type="string"), True),
        (strict(type="string", pattern="^a", enum=["a"]), True),
        (strict(type="array", items=strict(type="number", minimum=0)), True),
        (strict(anyOf=[{"type": "null"}, {"type": "string"}]), True),
        ({**strict(**{"$ref": "#/$defs/a"}), "$defs": {"a": {"type": "string"}}}, True),
        ({**strict(type="string"), "required": []}, False),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, False),
        (strict(oneOf=[{"type": "string"}]), False),
        (strict(type="string", default="a"), False),
        (strict(), False),
        ({"type": "object", "properties": {"a": True}, "required": ["a"], "additionalProperties": False}, False),
    ],
)  # fmt: skip
def test_a_schema_is_strict_only_where_it_is_in_the_subset_and_is_never_changed(
    schema: dict[str, Any], is_strict: bool
) -> None:
    described = {"name": "answer", "schema": schema, "strict": is_strict}
    assert built(response_schema=schema)["response_format"] == {
        "type": "json_schema",
        "json_schema": described,
    }


@pytest.mark.parametrize(
    "schema", [True, {}, {"type": "array"}, {"anyOf": [{"type": "object"}]}, {"const": 2**70}]
)
def test_a_schema_whose_root_is_no_object_goes_into_the_prompt(schema: Any) -> None:
    body = built(response_schema=schema)
    assert "response_format" not in body
    said, user = body["messages"]
    assert said["role"] == "system"
    assert json.loads(said["content"].partition("\n")[2]) == schema
    assert user == USER


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hi", "hi"),
        (" ", " "),
        ([{"type": "thinking", "thinking": "…"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "text", "text": None}, {"type": "text"}, {"type": "text", "text": "a"}], "a"),
        ("", None), (None, None), (5, None), ({}, None), ([], None), ([None, "a"], None),
    ],
)  # fmt: skip
def test_the_text_is_what_is_text(content: Any, text: str | None) -> None:
    answer = parsed({"content": content})
    assert answer.text == text
    assert (answer.failure.code if answer.failure else None) == (
        None if text is not None else ErrorCode.EMPTY_RESPONSE
    )


@pytest.mark.parametrize(
    ("arguments", "params", "raw"),
    [
        ('{"a":1}', {"a": 1}, None),
        ({"a": 1}, {"a": 1}, None),
        ("", {}, None),
        (None, {}, None),
        ('{"a":', None, '{"a":'),
        ("[1]", None, "[1]"),
        ("null", None, "null"),
        ([1], None, "[1]"),
        (False, None, "false"),
    ],
)
def test_arguments_are_an_object_or_kept_as_they_came(arguments: Any, params: Any, raw: str | None) -> None:
    assert called({"name": "find", "arguments": arguments}) == ToolCall("c1", "find", params, raw)


@pytest.mark.parametrize(
    ("function", "more", "id", "name"),
    [
        ({"name": "find"}, {"id": None}, "call_0", "find"),
        ({"name": "find"}, {"id": ""}, "call_0", "find"),
        ({"name": "find"}, {"id": {}}, "call_0", "find"),
        ({"name": None}, {}, "c1", ""),
        ({"name": ["find"]}, {}, "c1", ""),
        ({}, {}, "c1", ""),
    ],
)
def test_a_tool_call_without_id_or_name_is_still_one(
    function: Any, more: dict[str, Any], id: str, name: str
) -> None:
    assert called(function, **more) == ToolCall(id, name, {})


@pytest.mark.parametrize("calls", [None, "find", {}, [None], [{}], [{"id": "c1", "function": "find"}]])
def test_what_is_no_tool_call_is_left_out(calls: Any) -> None:
    answer = parsed({"content": "hi", "tool_calls": calls})
    assert (answer.tool_calls, answer.failure) == ((), None)


@pytest.mark.parametrize(
    ("message", "finish", "code"),
    [
        ({"content": "hi"}, "stop", None),
        ({"content": "hi"}, None, None),
        ({"content": "hi"}, {"new": 1}, None),
        ({"content": "hi", "refusal": None}, "stop", None),
        ({"content": "hi", "refusal": ""}, "stop", None),
        ({"tool_calls": [{"id": "c1", "function": {"name": "f"}}]}, "stop", None),
        ({"content": None, "refusal": "no"}, "stop", ErrorCode.REFUSED),
        ({"content": "h", "refusal": "no"}, "length", ErrorCode.REFUSED),
        ({"content": None}, "content_filter", ErrorCode.CONTENT_FILTERED),
        ({"content": "h"}, "length", ErrorCode.TRUNCATED),
        ({"content": "h"}, "model_length", ErrorCode.TRUNCATED),
        ({"content": None}, "length", ErrorCode.TRUNCATED),
        ({}, "stop", ErrorCode.EMPTY_RESPONSE),
        (None, "stop", ErrorCode.EMPTY_RESPONSE),
    ],
)
def test_each_end_of_an_answer_has_its_code_and_costs_its_tokens(
    message: Any, finish: Any, code: ErrorCode | None
) -> None:
    answer = parsed(message, finish)
    assert (answer.failure.code if answer.failure else None) == code
    assert (answer.billed, answer.usage) == (Billed.BY_USAGE, Usage(input_tokens=10, output_tokens=4))
    assert answer.finish_reason == (finish if isinstance(finish, str) else None)


def test_a_refusal_is_kept_in_part_and_without_what_postgres_cannot_store() -> None:
    answer = parsed({"refusal": "\0" + "n" * 5000})
    assert answer.failure is not None
    assert answer.failure.details["refusal"] == "\ufffd" + "n" * 1999
    assert len(answer.failure.message) < 400


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (COUNTS, Usage(input_tokens=10, output_tokens=4)),
        ({**COUNTS, "prompt_tokens_details": None, "completion_tokens_details": None}, Usage(input_tokens=10, output_tokens=4)),
        ({**COUNTS, "prompt_tokens_details": {"cached_tokens": 6}}, Usage(4, 6, 0, 0, 4, 0)),
        ({**COUNTS, "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 3}}, Usage(1, 6, 3, 0, 4, 0)),
        ({**COUNTS, "completion_tokens_details": {"reasoning_tokens": 3}}, Usage(10, 0, 0, 0, 4, 3)),
        ({**COUNTS, "completion_tokens_details": {"reasoning_tokens": 99}}, Usage(10, 0, 0, 0, 4, 4)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage()),
    ],
)  # fmt: skip
def test_openais_totals_become_disjoint_buckets(usage: Any, counted: Usage) -> None:
    answer = parsed({"content": "hi"}, usage=usage)
    assert (answer.usage, answer.billed) == (counted, Billed.BY_USAGE)


@pytest.mark.parametrize(
    "details",
    [
        {"cached_tokens": -6},
        {"cached_tokens": 10**18},
        {"cached_tokens": 60},
        {"cached_tokens": 6, "cache_write_tokens": 30},
        {"cached_tokens": "6"},
    ],
)
def test_parts_that_cannot_be_leave_the_bill_unknown(details: dict[str, Any]) -> None:
    answer = parsed({"content": "hi"}, usage={**COUNTS, "prompt_tokens_details": details})
    assert (answer.usage, answer.billed) == (None, Billed.UPPER_BOUND)


@pytest.mark.parametrize("total", ["prompt_tokens", "completion_tokens"])
@pytest.mark.parametrize("value", [None, -1, 1.5, True, "10", 2**60, [10]])
def test_a_total_that_is_no_count_is_not_booked_as_nothing(total: str, value: Any) -> None:
    answer = parsed({"content": "hi"}, usage={**COUNTS, total: value})
    assert (answer.usage, answer.billed) == (None, Billed.UPPER_BOUND)


@pytest.mark.parametrize("usage", [None, {}, [], 5, {"prompt_tokens": 10}, {"completion_tokens": 4}])
def test_an_answer_without_its_totals_is_booked_at_the_most(usage: Any) -> None:
    assert parsed({"content": "hi"}, usage=usage).billed is Billed.UPPER_BOUND


@pytest.mark.parametrize("choices", [None, [], {}, ["hi"], [None], "hi"])
def test_an_answer_without_a_choice_is_no_answer(choices: Any) -> None:
    answer = OpenAI.parse(PROVIDER, HttpResponse(200, {}, orjson.dumps({"choices": choices})), 0.0)
    assert answer.failure is not None
    assert (answer.failure.code, answer.billed) == (ErrorCode.PROVIDER_UNAVAILABLE, Billed.UPPER_BOUND)


def test_an_answer_carries_its_model_id_and_limits() -> None:
    answer = parsed({"content": "hi"}, x_request_id="r1", x_ratelimit_limit_tokens="100",
                    x_ratelimit_remaining_tokens="90", x_ratelimit_reset_tokens="6m0s")  # fmt: skip
    assert (answer.model, answer.provider_request_id, answer.http_status) == ("m-1", "r1", 200)
    assert answer.rate_headers == {"tokens": RateHeaders(100, 90, 360.0)}
