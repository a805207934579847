"""LiteLLM's and Langfuse's price lists become rows exactly, and what cannot become one is named."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.governor.price_files import (
    read_price_file,
)
from tests.governor.lists import langfuse, litellm, read, shown

# --- LiteLLM ------------------------------------------------------------------------------------------------

LONG = {
    "litellm_provider": "openai",
    "input_cost_per_token": 2.5e-06,
    "output_cost_per_token": 1.5e-05,
    "cache_read_input_token_cost": 2.5e-07,
    "input_cost_per_token_above_272k_tokens": 5e-06,
    "output_cost_per_token_above_272k_tokens": 2.25e-05,
    "input_cost_per_token_batches": 1.25e-06,
    "input_cost_per_token_flex": 1.25e-06,
    "input_cost_per_token_above_272k_tokens_flex": 2.5e-06,
    "input_cost_per_token_priority": 5e-06,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            litellm(**{"gpt-5.4": LONG}),
            [
                "openai/gpt-5.4 standard 0: 2.5 0.25 - - 15",
                "openai/gpt-5.4 standard 272001: 5 - - - 22.5",
                "openai/gpt-5.4 batch 0: 1.25 - - - -",
                "openai/gpt-5.4 flex 0: 1.25 - - - -",
                "openai/gpt-5.4 flex 272001: 2.5 - - - -",
                "openai/gpt-5.4 priority 0: 5 - - - -",
                # Without these rows the short price would apply to long prompts.
                "openai/gpt-5.4 batch 272001: - - - - -",
                "openai/gpt-5.4 priority 272001: - - - - -",
            ],
            id="tiers and thresholds",
        ),
        pytest.param(
            litellm(
                **{
                    "claude-x": {
                        "litellm_provider": "anthropic",
                        "input_cost_per_token": 3e-06,
                        "cache_creation_input_token_cost": 3.75e-06,
                        "cache_creation_input_token_cost_above_1hr": 6e-06,
                        "cache_creation_input_token_cost_above_200k_tokens": 7.5e-06,
                        "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05,
                        "input_cost_per_audio_token": 1,
                        "input_cost_per_token_above_128k_tokens": 4e-06,
                    }
                }
            ),
            [
                "anthropic/claude-x standard 0: 3 - 3.75 6 -",
                "anthropic/claude-x standard 200001: - - 7.5 12 -",
                "anthropic/claude-x standard 128001: 4 - - - -",
            ],
            id="cache writes of an hour are no threshold",
        ),
        pytest.param(
            litellm(
                gemini__g={"litellm_provider": "gemini", "input_cost_per_token": 1e-7},
                voyage__v={"litellm_provider": "voyage", "mode": "embedding", "input_cost_per_token": 2e-8,
                           "output_cost_per_token": 0.0},
                **{"command-r": {"litellm_provider": "cohere_chat", "input_cost_per_token": 1.5e-7}},
                vertex_ai__claude={"litellm_provider": "vertex_ai-anthropic_models", "input_cost_per_token": 1e-6},
                openrouter__a__b={"litellm_provider": "openrouter", "input_cost_per_token": 1e-6},
                ollama__llama={"litellm_provider": "ollama", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
            ),
            [
                "gemini/g standard 0: 0.1 - - - -",
                "voyage/v standard 0: 0.02 - - - -",
                "cohere/command-r standard 0: 0.15 - - - -",
                "vertex_ai/claude standard 0: 1 - - - -",
                "openrouter/a/b standard 0: 1 - - - -",
                "ollama/llama standard 0: 0 - - - 0",
            ],
            id="providers are named as here, models as their provider knows them",
        ),
        pytest.param(
            litellm(
                dashscope__q={
                    "litellm_provider": "dashscope",
                    "tiered_pricing": [
                        {"range": [0, 32e3], "input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6},
                        {"range": [32e3, 128e3], "input_cost_per_token": 2e-6, "output_cost_per_token": 1e-5},
                    ],
                }
            ),
            ["dashscope/q standard 0: 1 - - - 5", "dashscope/q standard 32001: 2 - - - 10"],
            id="steps by prompt size",
        ),
    ],
)  # fmt: skip
def test_litellms_list_becomes_rows(text: str, expected: list[str]) -> None:
    assert shown(read(text)) == expected


def test_a_price_per_token_keeps_every_digit() -> None:
    entry = '{"x": {"litellm_provider": "a", "input_cost_per_token": 0.0000001234567890123, "output_cost_per_token": 1E-4}}'
    assert [str(price) for price in read(entry)[0].prices] == [
        "0.1234567890123",
        "None",
        "None",
        "None",
        "100",
    ]


@pytest.mark.parametrize(
    ("fields", "rows", "says"),
    [
        ({"input_cost_per_token": 0.0, "output_cost_per_token": 1e-6}, 1, "a price of 0 is taken as unknown (input)"),
        ({"input_cost_per_token": 0, "output_cost_per_token": 0}, 0,
         "a price of 0 is taken as unknown (input, output)"),
        ({"mode": "image_generation", "output_cost_per_image": 0.04}, 0, "no price per token (mode image_generation)"),
        ({"mode": "audio_transcription", "input_cost_per_second": 0.0001}, 0,
         "no price per token (mode audio_transcription)"),
        ({"input_cost_per_token": None}, 0, "no price per token (mode chat)"),
        (
            {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "output_cost_per_reasoning_token": 3e-6}, 1,
            "reasoning has a price of its own: the output price is left unknown",
        ),
    ],
)  # fmt: skip
def test_what_litellm_does_not_know_is_unknown_and_said(fields: dict[str, Any], rows: int, says: str) -> None:
    file = read_price_file(litellm(x={"litellm_provider": "openai", **fields}), name="list", valid_from=None)
    assert (len(file.rows), file.skipped) == (rows, (f"openai/x: {says}",))
    assert not any(0 in row.prices for row in file.rows)


def test_the_sample_entry_and_a_second_spelling_of_a_model_are_no_rows() -> None:
    deepseek = {"litellm_provider": "deepseek", "input_cost_per_token": 1e-6}
    text = litellm(
        sample_spec={"litellm_provider": "one of …", "input_cost_per_token": 0.0},
        **{"deepseek-chat": deepseek},
        deepseek__deepseek__chat={**deepseek},
        **{"deepseek/deepseek-chat": {**deepseek, "input_cost_per_token": 2e-6}},
    )
    file = read_price_file(text, name="list", valid_from=None)
    assert shown(file.rows) == [
        "deepseek/deepseek-chat standard 0: 1 - - - -",
        "deepseek/deepseek/chat standard 0: 1 - - - -",
    ]
    assert file.skipped == (
        "sample_spec: describes the fields",
        "deepseek/deepseek-chat: deepseek/deepseek-chat has another price as deepseek-chat, which is kept",
    )


# --- Langfuse -----------------------------------------------------------------------------------------------

DEFAULT = {"name": "Standard", "isDefault": True, "conditions": []}
LARGE = {"usageDetailPattern": "(input)", "operator": "gt", "value": 272000, "caseSensitive": False}
FAST = {"source": "model_parameters", "key": "service_tier", "operator": "in", "values": ["fast", "priority"]}
FLEX = {**FAST, "values": ["flex"]}


def test_langfuses_list_becomes_rows() -> None:
    text = langfuse(
        "gpt-5.5-2026-04-23",
        {**DEFAULT, "prices": {"input": 5e-6, "input_cached_tokens": 5e-7, "input_cache_read": 5e-7, "output": 3e-5}},
        {"conditions": [LARGE], "prices": {"input": 1e-5, "output": 4.5e-5, "output_reasoning_tokens": 4.5e-5}},
        {"conditions": [FLEX, LARGE], "prices": {"input": 5e-6, "output": 2.25e-5}},
        {"conditions": [FAST], "prices": {"input": 1.25e-5, "output": 7.5e-5}},
    )  # fmt: skip
    assert shown(read(text)) == [
        "openai/gpt-5.5-2026-04-23 standard 0: 5 0.5 - - 30",
        "openai/gpt-5.5-2026-04-23 standard 272001: 10 - - - 45",
        "openai/gpt-5.5-2026-04-23 flex 272001: 5 - - - 22.5",
        "openai/gpt-5.5-2026-04-23 priority 0: 12.5 - - - 75",
        "openai/gpt-5.5-2026-04-23 priority 272001: - - - - -",
    ]


@pytest.mark.parametrize(
    ("name", "prices", "expected"),
    [
        ("claude-x", {"input_tokens": 1e-6, "cache_creation_input_tokens": 1.25e-6, "input_cache_creation_5m": 1.25e-6,
                      "input_cache_creation_1h": 2e-6}, "anthropic/claude-x standard 0: 1 - 1.25 2 -"),
        ("text-embedding-3-small", {"total": 2e-8}, "openai/text-embedding-3-small standard 0: 0.02 - - - -"),
        ("o3", {"total": 1e-6}, "openai/o3 standard 0: 1 - - - 1"),
        ("gemini-2.5-pro", {"input": 1e-6, "grounding_queries": 0.014}, "gemini/gemini-2.5-pro standard 0: 1 - - - -"),
        ("codestral-latest", {"input": 3e-7}, "mistral/codestral-latest standard 0: 0.3 - - - -"),
        ("voyage-4", {"input": 6e-8}, "voyage/voyage-4 standard 0: 0.06 - - - -"),
    ],
)  # fmt: skip
def test_a_models_name_tells_its_provider(name: str, prices: dict[str, float], expected: str) -> None:
    assert shown(read(langfuse(name, {**DEFAULT, "prices": prices}))) == [expected]
    older = json.dumps([{"modelName": name, "prices": prices}])
    assert shown(read(older)) == [expected]


def test_a_model_whose_date_may_be_left_out_has_its_price_without_the_date_too() -> None:
    tier = {**DEFAULT, "prices": {"input": 1e-6}}
    dated = langfuse("claude-x-20260101", tier, pattern="(?i)^(claude-x(-20260101)?)$")
    assert [row.model for row in read(dated)] == ["claude-x-20260101", "claude-x"]
    only_dated = langfuse("claude-x-20260101", tier, pattern="(?i)^(claude-x-20260101)$")
    assert [row.model for row in read(only_dated)] == ["claude-x-20260101"]


@pytest.mark.parametrize(
    ("name", "tier", "says"),
    [
        ("chat-bison", DEFAULT, "chat-bison: belongs to no provider known here"),
        ("gpt-oss-120b", DEFAULT, "gpt-oss-120b: belongs to no provider known here"),
        ("o3", {"name": "Fast", "conditions": [{**FAST, "key": "speed"}]},
         "openai/o3: Fast holds under a condition"),
        ("o3", {"name": "Big", "conditions": [{**LARGE, "operator": "lt"}]}, "openai/o3: Big holds under a condition"),
        ("o3", {"name": "Big", "conditions": [{**LARGE, "usageDetailPattern": "output"}]},
         "openai/o3: Big holds under a condition"),
        ("o3", {"name": "Big", "conditions": [{**LARGE, "value": float("nan")}]},
         "openai/o3: Big holds under a condition"),
        ("o3", {"name": "Odd", "isDefault": False}, "openai/o3: Odd names no condition"),
        ("o3", {**DEFAULT, "prices": {"input_audio": 1}}, "openai/o3: Standard has no price per token"),
        ("o3", {**DEFAULT, "prices": {"output": 1e-6, "reasoning_tokens": 2e-6}},
         "openai/o3: Standard has two prices for one kind of token"),
    ],
)  # fmt: skip
def test_what_no_column_can_say_is_skipped_with_a_reason(name: str, tier: dict[str, Any], says: str) -> None:
    file = read_price_file(langfuse(name, {"prices": {"input": 1e-6}, **tier}), name="list", valid_from=None)
    assert file.rows == ()
    (line,) = file.skipped
    assert line.startswith(says)


# --- hostile lists ------------------------------------------------------------------------------------------


def one(price: str) -> str:
    return '{"x": {"litellm_provider": "openai", "input_cost_per_token": ' + price + "}}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[", "not JSON"),
        ('{"a":' * 100_000, "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "not LiteLLM's price list"),
        ('{"data": []}', "not LiteLLM's price list"),
        ("[1]", "not Langfuse's price list"),
        ('[{"modelName": 5}]', "5: modelName must be text"),
        ('[{"modelName": "o3", "pricingTiers": {"a": 1}}]', "o3: must have pricingTiers"),
        ('[{"modelName": "o3", "pricingTiers": [{"prices": [1]}]}]', "o3: must have pricingTiers"),
        ('[{"modelName": "o3"}]', "o3: must have pricingTiers"),
        ('[{"modelName": "o3", "prices": {"input": "1"}}]', "o3: input: a price must be a number, not the text '1'"),
        ('[{"modelName": "o3", "prices": {"input": -1}}]', "o3: input: a price must be 0 or more, not -1"),
        ('{"a": {"litellm_provider": "openai"}, "x": []}', "x: must be an object, not list"),
        (one("-1e-6"), "x: input_cost_per_token: a price must be 0 or more"),
        (one("NaN"), "x: input_cost_per_token: a price must be 0 or more, not NaN"),
        (one("-Infinity"), "x: input_cost_per_token: a price must be 0 or more, not -Infinity"),
        (one('"1e-6"'), "x: input_cost_per_token: a price must be a number, not the text '1e-6'"),
        (one("true"), "x: input_cost_per_token: a price must be a number, not bool"),
        (one("[]"), "x: input_cost_per_token: a price must be a number, not list"),
        (one("5"), "x: input_usd_per_mtok must be from 0 to 1000000"),
        (one("1e999999"), "is no price"),
        (one("1e99999999999999999999"), "not JSON"),
        (one("9" * 5000), "not JSON"),
        (one("1, \"tiered_pricing\": [{}]"), "x: tiered_pricing must be a list of objects with a range"),
        (one('1, "tiered_pricing": [{"range": [NaN, 1]}]'), "x: tiered_pricing must be a list of objects with a range"),
        (one("1, \"tiered_pricing\": 7"), "x: tiered_pricing must be a list of objects with a range"),
        ('{"\\ud800": {"litellm_provider": "openai", "input_cost_per_token": 1e-6}}', "cannot be printed"),
    ],
)  # fmt: skip
def test_a_hostile_list_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(text)
    assert says in str(caught.value)


@given(
    st.text()
    | st.builds("{}{}".format, st.sampled_from(["{", "[", "[[price]]\n", "provider,model\n"]), st.text())
)
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        read(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(
    st.dictionaries(
        st.sampled_from(["mode", "tiered_pricing", *LONG]) | st.text(max_size=5), _JSON | st.just("openai")
    ),
    st.dictionaries(st.sampled_from(["prices", "pricingTiers", "matchPattern", "modelName"]), _JSON),
)
def test_a_list_with_any_fields_is_read_or_refused(lite: dict[str, Any], fuse: dict[str, Any]) -> None:
    for document in (
        {"x": lite},
        [{"modelName": "o3", **fuse}],
        [{"modelName": "o3", "pricingTiers": [fuse]}],
    ):
        with suppress(ValueError):
            read(json.dumps(document))
