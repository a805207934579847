"""Anthropic Messages: what is sent for each part of a call, and what each answer becomes."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from llmreq.errors import ErrorCode, InvalidRequestError
from llmreq.wire.anthropic import Anthropic
from llmreq.wire.outcome import Answer, Billed, Call, HttpResponse, ToolCall, Usage
from llmreq.wire.provider import Provider
from llmreq.wire.rate_headers import RateHeaders

PROVIDER = Provider("anthropic", "anthropic", "https://a.test", "sk-a")
CURRENT, WITH_SAMPLING = "2026-10-21", "2023-06-01"
USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
TOOL = {"name": "find", "description": "finds", "parameters": SCHEMA}
COUNTS = {"input_tokens": 10, "output_tokens": 4}
TEXT = {"type": "text", "text": "hi"}


def built(**columns: Any) -> dict[str, Any]:
    call = Call(**{"model": "claude-haiku-5-5", "messages": [USER], "max_output_tokens": 9, **columns})
    request = Anthropic.build(PROVIDER, call)
    body = orjson.loads(request.body)
    assert isinstance(body, dict)
    return body | {"version": request.headers["anthropic-version"]}


def parsed(content: Any, stop: Any = "end_turn", usage: Any = COUNTS, details: Any = None) -> Answer:
    body = {"model": "m-1", "content": content, "stop_reason": stop, "usage": usage, "stop_details": details}
    return Anthropic.parse(PROVIDER, HttpResponse(200, {}, orjson.dumps(body)), 0.0)


def image(given: Any) -> dict[str, Any]:
    return {"role": "user", "content": [TEXT, {"type": "image_url", "image_url": given}]}


@pytest.mark.parametrize(
    ("messages", "sent", "system"),
    [
        ([USER], [USER], None),
        ([{"role": "system", "content": "a"}, USER, {"role": "developer", "content": ["b", {"text": "c"}]}], [USER],
         "a\n\nb\n\nc"),
        ([{"role": "system", "content": {"a": 2**70}}, USER], [USER], '{"a": 1180591620717411303424}'),
        ([USER, {"role": "assistant", "content": "a"}], [USER, {"role": "assistant", "content": "a"}], None),
        ([{"role": "user", "content": [TEXT]}], [{"role": "user", "content": [TEXT]}], None),
        ([{"role": "user", "content": None}], [{"role": "user", "content": ""}], None),
        ([{"role": "user", "content": {"a": 1}}], [{"role": "user", "content": '{"a":1}'}], None),
        ([{**USER, "name": "ann"}], [USER], None),
    ],
)  # fmt: skip
def test_each_role_goes_to_its_place(messages: Any, sent: Any, system: str | None) -> None:
    body = built(messages=messages)
    assert (body["messages"], body.get("system")) == (sent, system)


@pytest.mark.parametrize(
    ("content", "before"),
    [
        (None, []),
        ("", []),
        ("ok", [{"type": "text", "text": "ok"}]),
        ([{"type": "thinking", "thinking": "", "signature": "s"}], [{"type": "thinking", "thinking": "", "signature": "s"}]),
    ],
)  # fmt: skip
def test_an_assistants_tool_calls_follow_what_it_said(content: Any, before: list[Any]) -> None:
    calls = [
        {"id": "c1", "tool_name": "find", "params": {"a": 1}},
        {"id": "c2", "function": {"name": "find", "arguments": '{"a": 2}'}},
        {"id": "c3", "tool_name": "find"},
    ]
    (turn,) = built(messages=[{"role": "assistant", "content": content, "tool_calls": calls}])["messages"]
    used = [
        {"type": "tool_use", "id": id, "name": "find", "input": input}
        for id, input in (("c1", {"a": 1}), ("c2", {"a": 2}), ("c3", {}))
    ]
    assert turn == {"role": "assistant", "content": [*before, *used]}


def test_the_results_of_one_round_are_one_turn_and_those_of_the_next_another() -> None:
    def result(id: str) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": id, "content": id}

    messages = [USER, result("c1"), result("c2"), {"role": "assistant", "content": "a"}, result("c3"), USER]
    turns = built(messages=messages)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "user", "assistant", "user", "user"]
    assert [[block["tool_use_id"] for block in turns[at]["content"]] for at in (1, 3)] == [
        ["c1", "c2"],
        ["c3"],
    ]
    assert all(turn.keys() == {"role", "content"} for turn in turns)


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ({"url": "https://x.test/a.png"}, {"type": "url", "url": "https://x.test/a.png"}),
        ("https://x.test/a.png", {"type": "url", "url": "https://x.test/a.png"}),
        (
            {"url": "data:image/png;base64,AAAA"},
            {"type": "base64", "media_type": "image/png", "data": "AAAA"},
        ),
    ],
)
def test_an_image_in_openais_form_is_sent_in_anthropics(given: Any, source: dict[str, Any]) -> None:
    assert built(messages=[image(given)])["messages"][0]["content"] == [
        TEXT,
        {"type": "image", "source": source},
    ]


@pytest.mark.parametrize(
    "tool", [TOOL, {"type": "function", "function": TOOL}, {"name": "find", "description": "finds", "input_schema": SCHEMA}]
)  # fmt: skip
def test_a_tool_in_any_vendors_form_is_sent_flat(tool: dict[str, Any]) -> None:
    assert built(tools=[tool])["tools"] == [{"name": "find", "description": "finds", "input_schema": SCHEMA}]


@pytest.mark.parametrize(
    ("choice", "sent", "sent_one_at_a_time"),
    [
        (None, None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", {"type": "auto"}, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", {"type": "any"}, {"type": "any", "disable_parallel_tool_use": True}),
        ({"type": "any"}, {"type": "any"}, {"type": "any", "disable_parallel_tool_use": True}),
        ({"name": "find"}, {"type": "tool", "name": "find"}, {"type": "tool", "name": "find", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}, {"type": "none"}),
    ],
)  # fmt: skip
def test_a_tool_choice_is_sent_in_anthropics_words(choice: Any, sent: Any, sent_one_at_a_time: Any) -> None:
    assert built(tools=[TOOL], tool_choice=choice).get("tool_choice") == sent
    assert (
        built(tools=[TOOL], tool_choice=choice, params={"parallel_tool_calls": True}).get("tool_choice")
        == sent
    )
    single = built(tools=[TOOL], tool_choice=choice, params={"parallel_tool_calls": False})
    assert single["tool_choice"] == sent_one_at_a_time
    assert "parallel_tool_calls" not in single


@pytest.mark.parametrize("tools", [None, []])
def test_nothing_about_tools_is_sent_without_tools(tools: Any) -> None:
    body = built(tools=tools, tool_choice="required", params={"parallel_tool_calls": False})
    assert body.keys() == {"model", "max_tokens", "messages", "version"}


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"messages": []}, "messages must be a list"),
        ({"messages": [{"content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "t"}]}, "tool_call_id"),
        ({"messages": [{"role": "tool", "tool_call_id": None}]}, "tool_call_id"),
        ({"messages": [image(None)]}, "image_url"),
        ({"messages": [image({})]}, "image_url"),
        ({"messages": [image({"url": 5})]}, "image_url"),
        ({"messages": [image("")]}, "image_url"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": {}, "tool_name": "f"}]}]}, '"id"'),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c1", "function": {}}]}]}, '"tool_name"'),
        ({"tools": [{"input_schema": {}}]}, "tools[0]"),
        ({"tools": "find"}, "tools must be a list"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        *(({"params": {name: 1}}, repr(name)) for name in ("system", "output_config", "stream", "headers", "X-Api_Key")),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_by_name(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        built(**columns)
    assert says in raised.value.message


@pytest.mark.parametrize(
    ("model", "params", "sent", "version"),
    [
        ("claude-haiku-5-5", None, {}, CURRENT),
        ("claude-haiku-5-5", {"temperature": 0, "top_p": 1, "top_k": 5}, {}, CURRENT),
        ("claude-haiku-4-5", {}, {}, CURRENT),
        ("claude-haiku-4-5", {"top_p": 0.5, "top_k": 5}, {"top_p": 0.5, "top_k": 5}, WITH_SAMPLING),
        ("claude-opus-4-6", {"temperature": 0, "top_p": 0.5}, {"temperature": 0}, WITH_SAMPLING),
        ("claude-opus-4-7", {"temperature": 0}, {}, CURRENT),
        ("claude-haiku-5-5", {"stop": "x"}, {"stop_sequences": ["x"]}, CURRENT),
        ("claude-haiku-5-5", {"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}, CURRENT),
        ("claude-haiku-5-5", {"stop": None}, {}, CURRENT),
        ("claude-haiku-5-5", {"effort": "max"}, {"output_config": {"effort": "max"}}, CURRENT),
        ("claude-haiku-5-5", {"reasoning_effort": "low"}, {"output_config": {"effort": "low"}}, CURRENT),
        ("claude-haiku-5-5", {"reasoning_effort": "minimal"}, {}, CURRENT),
        ("claude-haiku-5-5", {"effort": ["low"]}, {}, CURRENT),
        ("claude-haiku-5-5", {"cache": True}, {"cache_control": {"type": "ephemeral"}}, CURRENT),
        ("claude-haiku-5-5", {"cache": False}, {}, CURRENT),
        ("claude-haiku-5-5", {"seed": 1, "verbosity": "low", "logprobs": True, "presence_penalty": 1}, {}, CURRENT),
        ("claude-haiku-5-5", {"max_tokens": 1, "max_output_tokens": 1}, {}, CURRENT),
        ("claude-haiku-5-5", {"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}, CURRENT),
    ],
)  # fmt: skip
def test_params_go_under_anthropics_names_with_the_version_that_has_them(
    model: str, params: Any, sent: dict[str, Any], version: str
) -> None:
    own = {"model": model, "messages": [USER], "max_tokens": 9, "version": version}
    assert built(model=model, params=params) == {**own, **sent}


def closed(**more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": more}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (closed(type="string"), closed(type="string")),
        (closed(type="string", format="date"), closed(type="string", format="date")),
        (closed(type="string", format="phone"), closed(type="string", description="Must hold: format phone")),
        (closed(type="number", minimum=0, description="a price."),
         closed(type="number", description="a price. Must hold: minimum: 0")),
        (closed(type="array", items={"type": "null"}, minItems=1), closed(type="array", items={"type": "null"}, minItems=1)),
        (closed(type="array", items={"type": "null"}, minItems=2),
         closed(type="array", items={"type": "null"}, description="Must hold: minItems: 2")),
        (closed(oneOf=[{"type": "null"}, {"const": 1}]), closed(anyOf=[{"type": "null"}, {"const": 1}])),
        (closed(type="string", default="x", examples=["y"]), closed(type="string")),
        ({"type": "object", "additionalProperties": False}, SCHEMA),
        (closed(**{"$ref": "#/$defs/b"}) | {"$defs": {"b": {"type": "null"}}},
         closed(**{"$ref": "#/$defs/b"}) | {"$defs": {"b": {"type": "null"}}}),
    ],
)  # fmt: skip
def test_a_schema_is_sent_in_anthropics_subset_and_the_rest_of_it_in_words(
    given: dict[str, Any], said: dict[str, Any]
) -> None:
    body = built(response_schema=given, params={"effort": "low"})
    form = {"type": "json_schema", "schema": said}
    assert body["output_config"] == {"effort": "low", "format": form}
    assert "system" not in body


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"type": "array"},
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        closed(type="object"),
        closed(**{"$ref": "#"}),
        closed(**{"$ref": "#/$defs/b"}) | {"$defs": {"b": {"items": {"$ref": "#/$defs/b"}}}},
        {**SCHEMA, "properties": {"a": True}},
        closed(type="array", items=True),
    ],
)
def test_a_schema_that_cannot_be_said_goes_into_the_prompt_after_the_rows_own(schema: Any) -> None:
    body = built(response_schema=schema, messages=[{"role": "system", "content": "own"}, USER])
    own, instruction = body["system"].split("\n\n")
    assert own == "own"
    assert json.loads(instruction.partition("\n")[2]) == schema
    assert "output_config" not in body


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([TEXT], "hi"),
        (
            [TEXT, {"type": "thinking", "thinking": "…", "signature": "s"}, {"type": "text", "text": "!"}],
            "hi!",
        ),
        ([{"type": "new", "text": "no"}, TEXT], "hi"),
        ([None, "hi", {"type": ["text"], "text": "no"}, TEXT], "hi"),
        ([{"type": "text", "text": None}, {"type": "text"}], None),
        ([{"type": "thinking", "thinking": "only"}], None),
        ([{"type": "text", "text": ""}], None),
        ([], None),
    ],
)
def test_the_text_is_every_text_block_and_nothing_else(content: Any, text: str | None) -> None:
    answer = parsed(content)
    assert answer.text == text
    assert (answer.failure.code if answer.failure else None) == (None if text else ErrorCode.EMPTY_RESPONSE)


@pytest.mark.parametrize(
    ("block", "call"),
    [
        ({"id": "t1", "name": "find", "input": {"a": 1}}, ToolCall("t1", "find", {"a": 1})),
        ({"id": "t1", "name": "find", "input": {}}, ToolCall("t1", "find", {})),
        ({"id": "t1", "name": "find", "input": '{"a":'}, ToolCall("t1", "find", None, '{"a":')),
        ({"id": "t1", "name": "find", "input": [1]}, ToolCall("t1", "find", None, "[1]")),
        ({"id": "t1", "name": "find"}, ToolCall("t1", "find", None, "null")),
        ({"id": None, "name": None, "input": {}}, ToolCall("toolu_1", "", {})),
        ({"id": {"a": 1}, "name": ["find"], "input": {}}, ToolCall("toolu_1", "", {})),
    ],
)
def test_a_tool_call_comes_in_the_one_shape(block: dict[str, Any], call: ToolCall) -> None:
    answer = parsed([TEXT, {"type": "tool_use", **block}], "tool_use")
    assert (answer.tool_calls, answer.text, answer.failure) == ((call,), "hi", None)


def test_an_input_nested_past_the_encoder_is_a_tool_call_without_params() -> None:
    deep = b"[" * 500 + b"]" * 500
    body = b'{"content":[{"type":"tool_use","id":"t1","name":"find","input":' + deep + b"}]}"
    (call,) = Anthropic.parse(PROVIDER, HttpResponse(200, {}, body), 0.0).tool_calls
    assert call == ToolCall("t1", "find", None, "")


@pytest.mark.parametrize(
    ("content", "stop", "code"),
    [
        ([TEXT], "end_turn", None),
        ([TEXT], "stop_sequence", None),
        ([TEXT], "a_new_reason", None),
        ([TEXT], None, None),
        ([TEXT], {"new": 1}, None),
        ([TEXT], "max_tokens", ErrorCode.TRUNCATED),
        ([], "max_tokens", ErrorCode.TRUNCATED),
        ([TEXT], "model_context_window_exceeded", ErrorCode.TRUNCATED),
        ([TEXT], "refusal", ErrorCode.REFUSED),
        ([], "end_turn", ErrorCode.EMPTY_RESPONSE),
    ],
)
def test_each_end_of_an_answer_has_its_code_and_costs_its_tokens(
    content: Any, stop: Any, code: ErrorCode | None
) -> None:
    answer = parsed(content, stop)
    assert (answer.failure.code if answer.failure else None) == code
    assert (answer.billed, answer.usage) == (Billed.BY_USAGE, Usage(input_tokens=10, output_tokens=4))
    assert answer.finish_reason == (stop if isinstance(stop, str) else None)


def test_a_refusal_before_any_output_shows_counts_that_nobody_pays() -> None:
    answer = parsed([], "refusal")
    assert (answer.billed, answer.usage) == (Billed.NOT_BILLED, None)


@pytest.mark.parametrize(
    ("details", "says", "category"),
    [
        ({"category": "cyber", "explanation": "no\0pe"}, "no\ufffdpe", "cyber"),
        ({"category": "cyber", "explanation": None}, "cyber", "cyber"),
        ({"category": None}, "no reason given", None),
        ({"category": {"a": 1}, "explanation": ["no"]}, "no reason given", None),
        ({"category": "c" * 5000, "explanation": "e" * 5000}, "e" * 300, "c" * 300),
        ("cyber", "no reason given", None),
        (None, "no reason given", None),
    ],
)
def test_a_refusal_says_why(details: Any, says: str, category: str | None) -> None:
    found = parsed([], "refusal", details=details).failure
    assert found is not None
    assert (found.message, found.details) == (f"the model refused: {says}", {"category": category})


@pytest.mark.parametrize(
    ("more", "counted"),
    [
        ({}, Usage(10, 0, 0, 0, 4, 0)),
        ({"cache_read_input_tokens": 6}, Usage(10, 6, 0, 0, 4, 0)),
        ({"cache_read_input_tokens": None, "cache_creation": None}, Usage(10, 0, 0, 0, 4, 0)),
        ({"cache_creation_input_tokens": 5}, Usage(10, 0, 5, 0, 4, 0)),
        ({"cache_creation_input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 2}}, Usage(10, 0, 3, 2, 4, 0)),
        ({"cache_creation_input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 9}}, Usage(10, 0, 0, 5, 4, 0)),
        ({"output_tokens_details": {"thinking_tokens": 3}}, Usage(10, 0, 0, 0, 4, 3)),
        ({"output_tokens_details": {"thinking_tokens": 9}}, Usage(10, 0, 0, 0, 4, 4)),
        ({"server_tool_use": {"web_search_requests": 1}, "service_tier": "standard"}, Usage(10, 0, 0, 0, 4, 0)),
    ],
)  # fmt: skip
def test_anthropics_buckets_are_disjoint_as_they_are(more: dict[str, Any], counted: Usage) -> None:
    answer = parsed([TEXT], usage=COUNTS | more)
    assert (answer.usage, answer.billed) == (counted, Billed.BY_USAGE)


@pytest.mark.parametrize(
    "more",
    [
        {"cache_read_input_tokens": -1},
        {"cache_read_input_tokens": 10**18},
        {"cache_creation_input_tokens": 1.5},
        {"cache_creation_input_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": "2"}},
    ],
)
def test_a_part_that_is_no_count_leaves_the_bill_unknown(more: dict[str, Any]) -> None:
    answer = parsed([TEXT], usage=COUNTS | more)
    assert (answer.usage, answer.billed) == (None, Billed.UPPER_BOUND)


@pytest.mark.parametrize("total", ["input_tokens", "output_tokens"])
@pytest.mark.parametrize("value", [None, -1, 1.5, True, "10", 2**60, {}])
def test_a_total_that_is_no_count_is_not_booked_as_nothing(total: str, value: Any) -> None:
    answer = parsed([TEXT], usage=COUNTS | {total: value})
    assert (answer.usage, answer.billed) == (None, Billed.UPPER_BOUND)


@pytest.mark.parametrize("content", [None, {}, "hi", 5])
def test_an_answer_without_blocks_is_no_answer(content: Any) -> None:
    answer = parsed(content)
    assert answer.failure is not None
    assert (answer.failure.code, answer.billed) == (ErrorCode.PROVIDER_UNAVAILABLE, Billed.UPPER_BOUND)


def test_an_answer_carries_its_model_id_and_limits() -> None:
    headers = {
        "request-id": "r1", "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "1970-01-01T00:00:30Z",
    }  # fmt: skip
    body = orjson.dumps({"model": "m-1", "content": [TEXT]})
    answer = Anthropic.parse(PROVIDER, HttpResponse(200, headers, body), 0.0)
    assert (answer.model, answer.provider_request_id, answer.http_status) == ("m-1", "r1", 200)
    assert answer.rate_headers == {"requests": RateHeaders(50, 49, 30.0)}
