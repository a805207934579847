"""The vendors' own client packages talk to the simulator: it is no mirror of our own mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletionToolParam

from llmreq.simulator.process import Simulator

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["city", "count"],
    "additionalProperties": False,
}
MODEL, CLAUDE = "gpt-6-luna", "claude-haiku-5-5"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def chat(simulator: Simulator) -> Iterator[openai.OpenAI]:
    simulator.configure(limits={}, faults={}, outage=False)
    simulator.reset()
    with openai.OpenAI(base_url=simulator.openai_base_url, api_key="sk-x", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(simulator: Simulator) -> Iterator[anthropic.Anthropic]:
    simulator.configure(limits={}, faults={}, outage=False)
    simulator.reset()
    with anthropic.Anthropic(base_url=simulator.anthropic_base_url, api_key="sk-x", max_retries=0) as client:
        yield client


def test_openais_client_reads_a_chat_its_usage_and_its_request_id(chat: openai.OpenAI) -> None:
    answer = chat.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert (answer._request_id or "").startswith("req_")


def test_openais_client_gets_an_answer_that_fits_its_schema(chat: openai.OpenAI) -> None:
    answer = chat.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "where?"}],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
        },
    )
    import json

    value = json.loads(answer.choices[0].message.content or "")
    assert set(value) == {"city", "count"}


def test_openais_client_goes_through_two_turns_with_a_tool(chat: openai.OpenAI) -> None:
    tool: ChatCompletionToolParam = {"type": "function", "function": {"name": "find", "parameters": SCHEMA}}
    first = chat.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "find it"}], tools=[tool]
    )
    (call,) = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls"
    second = chat.chat.completions.create(
        model=MODEL,
        tools=[tool],
        messages=[
            {"role": "user", "content": "find it"},
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "found"},
        ],
    )
    assert second.choices[0].message.content


def test_openais_client_reads_cached_and_reasoning_tokens(chat: openai.OpenAI) -> None:
    answer = chat.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "[[sim:cached]]" + "x" * 400}]
    )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.completion_tokens_details is not None
    assert 0 < (answer.usage.prompt_tokens_details.cached_tokens or 0) < answer.usage.prompt_tokens
    assert answer.usage.completion_tokens_details.reasoning_tokens == 7


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_openais_client_reads_embeddings(chat: openai.OpenAI, encoding: str) -> None:
    texts = ["one", "two", "one"]
    answer = chat.embeddings.create(
        model="text-embedding-3-small",
        input=texts,
        dimensions=8,
        encoding_format=encoding,
    )
    vectors = [each.embedding for each in answer.data]
    if encoding == "base64":
        assert vectors[0] == vectors[2] != vectors[1]
    else:
        assert [len(vector) for vector in vectors] == [8, 8, 8]
        assert sum(value * value for value in vectors[0]) == pytest.approx(1)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("http_400", openai.BadRequestError),
        ("http_401", openai.AuthenticationError),
        ("http_403", openai.PermissionDeniedError),
        ("http_404", openai.NotFoundError),
        ("http_429", openai.RateLimitError),
        ("quota", openai.RateLimitError),
        ("http_500", openai.InternalServerError),
        ("http_503", openai.InternalServerError),
        ("context_overflow", openai.BadRequestError),
    ],
)
def test_openais_client_raises_its_own_error_for_each_failure(
    chat: openai.OpenAI, fault: str, error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error) as raised:
        chat.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": f"[[sim:{fault}]]"}])
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["message"]


def test_anthropics_client_reads_a_message_and_its_usage(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(
        model=CLAUDE, max_tokens=100, messages=[{"role": "user", "content": "[[sim:cached]]" + "x" * 400}]
    )
    assert answer.content[0].type == "text"
    assert answer.stop_reason == "end_turn"
    assert answer.usage.cache_read_input_tokens
    assert answer.usage.cache_creation is not None
    assert answer.usage.cache_creation.ephemeral_1h_input_tokens > 0
    assert (answer._request_id or "").startswith("req_")


def test_anthropics_client_goes_through_two_turns_with_a_tool(claude: anthropic.Anthropic) -> None:
    first = claude.messages.create(
        model=CLAUDE,
        max_tokens=100,
        messages=[{"role": "user", "content": "find it"}],
        tools=[{"name": "find", "input_schema": SCHEMA}],
    )
    use = first.content[-1]
    assert use.type == "tool_use"
    assert first.stop_reason == "tool_use"
    second = claude.messages.create(
        model=CLAUDE,
        max_tokens=100,
        tools=[{"name": "find", "input_schema": SCHEMA}],
        messages=[
            {"role": "user", "content": "find it"},
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "found"}]},
        ],
    )
    assert second.content[0].type == "text"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("http_400", anthropic.BadRequestError),
        ("http_401", anthropic.AuthenticationError),
        ("http_404", anthropic.NotFoundError),
        ("http_429", anthropic.RateLimitError),
        ("http_500", anthropic.InternalServerError),
        ("http_529", anthropic.InternalServerError),
    ],
)
def test_anthropics_client_raises_its_own_error_for_each_failure(
    claude: anthropic.Anthropic, fault: str, error: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(error):
        claude.messages.create(
            model=CLAUDE, max_tokens=10, messages=[{"role": "user", "content": f"[[sim:{fault}]]"}]
        )
