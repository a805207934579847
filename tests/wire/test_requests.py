"""What is sent: the same call in each vendor's words."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.errors import InvalidRequestError, LlmreqError
from llmreq.wire.anthropic import Anthropic
from llmreq.wire.formats import wire_for
from llmreq.wire.openai import OpenAI
from llmreq.wire.outcome import Call
from llmreq.wire.provider import Provider

OPENAI = Provider("openai", "openai", "https://o.test/v1", "sk-o")
ANTHROPIC = Provider("anthropic", "anthropic", "https://a.test", "sk-a")
USER = [{"role": "user", "content": "hi"}]
STRICT = {
    "type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False,
}  # fmt: skip
LOOSE = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}
TOOL = {"name": "find", "description": "finds", "parameters": STRICT}
TURNS = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "find it"},
    {"role": "assistant", "content": "ok", "tool_calls": [
        {"id": "c1", "tool_name": "find", "params": {"a": "x"}},
        {"id": "c2", "type": "function", "function": {"name": "find", "arguments": '{"a":"y"}'}},
    ]},
    {"role": "tool", "tool_call_id": "c1", "content": "found x"},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "found y"}]},
]  # fmt: skip


def sent(provider: Provider, **columns: Any) -> tuple[dict[str, Any], dict[str, str]]:
    given = {"model": "gpt-6-luna", "messages": USER, "max_output_tokens": 100, **columns}
    request = wire_for(provider).build(provider, Call(**given))
    return orjson.loads(request.body), dict(request.headers)


def test_openai_gets_its_path_key_cap_and_messages() -> None:
    request = OpenAI.build(OPENAI, Call("gpt-6-luna", USER, 100))
    body = orjson.loads(request.body)
    assert request.url == "https://o.test/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-o"
    assert body == {"model": "gpt-6-luna", "max_completion_tokens": 100, "messages": USER}


def test_anthropic_gets_its_path_key_version_and_system_apart() -> None:
    messages = [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, *USER]
    request = Anthropic.build(ANTHROPIC, Call("claude-haiku-5-5", messages, 100))
    assert request.url == "https://a.test/v1/messages"
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == ("sk-a", "2026-10-21")
    assert orjson.loads(request.body) == {
        "model": "claude-haiku-5-5", "max_tokens": 100, "messages": USER, "system": "a\n\nb",
    }  # fmt: skip


def test_tool_turns_in_either_form_reach_openai_in_its_own() -> None:
    body, _ = sent(OPENAI, messages=TURNS, tools=[TOOL])
    assistant, first, second = body["messages"][2:]
    assert [call["function"]["arguments"] for call in assistant["tool_calls"]] == ['{"a":"x"}', '{"a":"y"}']
    assert (first["tool_call_id"], first["content"], second["content"]) == ("c1", "found x", "found y")
    assert body["tools"] == [{"type": "function", "function": TOOL}]


def test_the_results_of_one_round_of_tools_are_one_turn_for_anthropic() -> None:
    body, _ = sent(ANTHROPIC, model="claude-haiku-5-5", messages=TURNS, tools=[TOOL])
    _, assistant, results = body["messages"]
    assert [block["type"] for block in assistant["content"]] == ["text", "tool_use", "tool_use"]
    assert [block["tool_use_id"] for block in results["content"]] == ["c1", "c2"]
    assert body["tools"] == [{"name": "find", "description": "finds", "input_schema": STRICT}]


@pytest.mark.parametrize(
    ("choice", "openai", "anthropic"),
    [
        ("auto", "auto", {"type": "auto"}),
        ("none", "none", {"type": "none"}),
        ("required", "required", {"type": "any"}),
        ("any", "required", {"type": "any"}),
        ({"type": "any"}, "required", {"type": "any"}),
        (
            {"name": "find"},
            {"type": "function", "function": {"name": "find"}},
            {"type": "tool", "name": "find"},
        ),
        (
            {"type": "function", "function": {"name": "find"}},
            {"type": "function", "function": {"name": "find"}},
            {"type": "tool", "name": "find"},
        ),
    ],
)
def test_a_tool_choice_in_any_form_is_said_in_each(choice: Any, openai: Any, anthropic: Any) -> None:
    assert sent(OPENAI, tools=[TOOL], tool_choice=choice)[0]["tool_choice"] == openai
    assert sent(ANTHROPIC, tools=[TOOL], tool_choice=choice)[0]["tool_choice"] == anthropic


def test_a_schema_in_the_subset_goes_strict_another_as_it_is_and_a_list_into_the_prompt() -> None:
    strict = sent(OPENAI, response_schema=STRICT)[0]["response_format"]["json_schema"]
    assert (strict["strict"], strict["schema"]) == (True, STRICT)
    loose = sent(OPENAI, response_schema=LOOSE)[0]["response_format"]["json_schema"]
    assert (loose["strict"], loose["schema"]) == (False, LOOSE)
    listed, _ = sent(OPENAI, response_schema={"type": "array"})
    assert "response_format" not in listed
    assert '{"type":"array"}' in listed["messages"][0]["content"]


def test_anthropic_is_told_in_words_what_its_dialect_cannot_say() -> None:
    schema = {**STRICT, "properties": {"a": {"type": "string", "minLength": 2}}}
    said = sent(ANTHROPIC, response_schema=schema)[0]["output_config"]["format"]["schema"]
    assert said["properties"]["a"] == {"type": "string", "description": "Must hold: minLength: 2"}
    open_ended, _ = sent(ANTHROPIC, response_schema=LOOSE)
    assert "output_config" not in open_ended
    assert '"minLength":2' in open_ended["system"]


def test_a_server_without_native_schemas_gets_it_in_the_prompt() -> None:
    local = Provider("local", "openai", "http://l/v1", None, "max_tokens", native_schema=False)
    body, headers = sent(local, response_schema=STRICT)
    assert "response_format" not in body
    assert body["max_tokens"] == 100
    assert "JSON Schema" in body["messages"][0]["content"]
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("model", "params", "kept"),
    [
        ("gpt-6-luna", {"temperature": 0.2, "seed": 1}, {"seed": 1}),
        (
            "gpt-6-luna",
            {"temperature": 0.2, "reasoning_effort": "none"},
            {"temperature": 0.2, "reasoning_effort": "none"},
        ),
        ("gpt-4o-mini", {"temperature": 0.2, "stop": ["x"]}, {"temperature": 0.2, "stop": ["x"]}),
        ("gpt-6-luna", {"effort": "low", "max_tokens": 7}, {"reasoning_effort": "low"}),
    ],
)
def test_openai_gets_the_params_its_model_takes(
    model: str, params: dict[str, Any], kept: dict[str, Any]
) -> None:
    body, _ = sent(OPENAI, model=model, params=params)
    assert {
        name: value
        for name, value in body.items()
        if name not in ("model", "messages", "max_completion_tokens")
    } == kept


@pytest.mark.parametrize(
    ("model", "params", "kept", "version"),
    [
        (
            "claude-haiku-5-5",
            {"temperature": 0.2, "stop": "x", "seed": 1},
            {"stop_sequences": ["x"]},
            "2026-10-21",
        ),
        ("claude-haiku-4-5", {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2}, "2023-06-01"),
        ("claude-haiku-5-5", {"effort": "low"}, {"output_config": {"effort": "low"}}, "2026-10-21"),
        ("claude-haiku-5-5", {"cache": True}, {"cache_control": {"type": "ephemeral"}}, "2026-10-21"),
    ],
)
def test_anthropic_gets_the_params_its_model_takes(
    model: str, params: dict[str, Any], kept: dict[str, Any], version: str
) -> None:
    body, headers = sent(ANTHROPIC, model=model, params=params)
    assert {
        name: value for name, value in body.items() if name not in ("model", "messages", "max_tokens")
    } == kept
    assert headers["anthropic-version"] == version


@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0]"),
        ({"tools": [{"description": "nameless"}]}, "tools[0]"),
        ({"tools": ["find"]}, "tools[0]"),
        ({"tools": {"find": {}}}, "tools must be a list"),
        ({"tools": [TOOL], "tool_choice": 5}, "tool_choice"),
        ({"params": {"base_url": "http://evil"}}, "base_url"),
        ({"params": {"extra_headers": {}}}, "extra_headers"),
        ({"params": {"api_key": "x"}}, "api_key"),
        ({"params": []}, "params must be an object"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}]}]},
         "not JSON"),
        ({"messages": [{"role": "assistant", "tool_calls": "f"}]}, "must be a list"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "tool_name": "f", "params": [1]}]}]},
         "must be an object"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_by_name(
    provider: Provider, columns: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        sent(provider, **columns)
    assert says in raised.value.message


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "id",
                    "type",
                    "params",
                    "text",
                    "x",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
turns = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": json_values}
    )
    | st.fixed_dictionaries({"role": st.just("assistant"), "tool_calls": json_values})
    | json_values,
    max_size=4,
)


@given(provider=st.sampled_from([OPENAI, ANTHROPIC]), messages=turns | json_values, tools=json_values, choice=json_values,
       params=json_values)  # fmt: skip
def test_any_json_in_a_row_is_sent_or_refused_by_name(
    provider: Provider, messages: Any, tools: Any, choice: Any, params: Any
) -> None:
    call = Call("gpt-6-luna", messages, 10, None, tools, choice, params)
    try:
        request = wire_for(provider).build(provider, call)
    except LlmreqError:
        return
    assert json.loads(request.body)["model"] == "gpt-6-luna"
    assert request.url.startswith(provider.base_url)
