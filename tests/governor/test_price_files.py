"""Price lists become rows exactly, and what cannot become one is named."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.governor.price_files import (
    PriceRow,
    detect_form,
    from_csv,
    only_providers,
    read_price_file,
    usual_providers,
    write_csv,
)
from llmreq.governor.price_row import EVER, TIERS
from llmreq.limits import MAX_USD_PER_MTOK

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


def read(text: str) -> tuple[PriceRow, ...]:
    return read_price_file(text, name="list", valid_from=NEW_YEAR).rows


def shown(rows: tuple[PriceRow, ...]) -> list[str]:
    """lane, tier, first token: input, cache read, 5m write, 1h write, output"""
    return [
        f"{row.lane} {'batch' if row.batch else row.service_tier} {row.min_prompt_tokens}: "
        + " ".join("-" if price is None else str(price) for price in row.prices)
        for row in rows
    ]


def litellm(**models: dict[str, Any]) -> str:
    return json.dumps(
        {name.replace("__", "/"): {"mode": "chat", **fields} for name, fields in models.items()}
    )


def langfuse(name: str, *tiers: dict[str, Any], pattern: str = "") -> str:
    return json.dumps([{"modelName": name, "matchPattern": pattern, "pricingTiers": list(tiers)}])


# --- our own forms ------------------------------------------------------------------------------------------

CSV = """provider,model,valid_from,min_prompt_tokens,service_tier,batch,input_usd_per_mtok,output_usd_per_mtok,source
openai,gpt-6-luna,2026-12-01,,,,0.1000,0.5,contract
openai,gpt-6-luna,,272001,flex,,0.2,,
anthropic,claude-haiku-5-5,-infinity,0,standard,true,0.05,0.25,

"""

TOML = """
# what we pay
[[price]]
provider = "openai"
model = "gpt-6-luna"
valid_from = 2026-12-01
input_usd_per_mtok = 0.1000
output_usd_per_mtok = 0.5
source = "contract"

[[price]]
provider = "openai"
model = "gpt-6-luna"
min_prompt_tokens = 272001
service_tier = "flex"
input_usd_per_mtok = "0.2"

[[price]]
provider = "anthropic"
model = "claude-haiku-5-5"
valid_from = "-infinity"
batch = true
input_usd_per_mtok = 0.05
output_usd_per_mtok = 0.25
"""

OWN = (
    PriceRow(
        "openai", "gpt-6-luna", datetime(2026, 12, 1, tzinfo=UTC), source="contract",
        input_usd_per_mtok=Decimal("0.1"), output_usd_per_mtok=Decimal("0.5"),
    ),
    PriceRow("openai", "gpt-6-luna", NEW_YEAR, 272001, "flex", input_usd_per_mtok=Decimal("0.2"), source="list"),
    PriceRow(
        "anthropic", "claude-haiku-5-5", EVER, batch=True, source="list",
        input_usd_per_mtok=Decimal("0.05"), output_usd_per_mtok=Decimal("0.25"),
    ),
)  # fmt: skip


@pytest.mark.parametrize("text", [CSV, CSV.replace("\n", "\r\n"), "\ufeff" + CSV, TOML])
def test_our_csv_and_toml_say_the_same(text: str) -> None:
    assert read(text) == OWN
    assert [str(price) for price in read(text)[0].prices if price is not None] == ["0.1", "0.5"]


_NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=30)
_DOLLARS = st.none() | st.decimals(0, MAX_USD_PER_MTOK, places=8).map(lambda price: price.normalize() + 0)
_ROWS = st.builds(
    PriceRow,
    provider=_NAMES.map(lambda name: name.replace("/", "-")),
    model=_NAMES,
    valid_from=st.none() | st.just(EVER) | st.datetimes(timezones=st.just(UTC)),
    min_prompt_tokens=st.integers(0, 2**63 - 1),
    service_tier=st.sampled_from(TIERS),
    batch=st.booleans(),
    source=_NAMES,
    **dict.fromkeys(
        (
            "input_usd_per_mtok",
            "cache_read_usd_per_mtok",
            "cache_write_5m_usd_per_mtok",
            "cache_write_1h_usd_per_mtok",
            "output_usd_per_mtok",
        ),
        _DOLLARS,
    ),
)


@given(st.lists(_ROWS, unique_by=lambda row: row.key))
def test_what_csv_we_write_we_read(rows: list[PriceRow]) -> None:
    assert from_csv(write_csv(rows), name="list", valid_from=None).rows == tuple(rows)


HEAD = "provider,model,input_usd_per_mtok\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no price list"),
        ("hello", "no price list"),
        (HEAD + "openai,x,1,2\n", "line 2: has 4 cells where the header has 3"),
        (HEAD + "openai,x,1\nopenai,,1\n", "line 3: 'openai/' is no lane"),
        (HEAD + "a/b,x,1\n", "'a/b/x' is no lane"),
        (HEAD + "openai,x,-1\n", "line 2: input_usd_per_mtok: a price must be 0 or more, not -1"),
        (HEAD + "openai,x,NaN\n", "a price must be 0 or more, not NaN"),
        (HEAD + "openai,x,sNaN\n", "a price must be 0 or more, not sNaN"),
        (HEAD + "openai,x,Infinity\n", "a price must be 0 or more, not Infinity"),
        (HEAD + "openai,x,$5\n", "'$5' is no price"),
        (HEAD + "openai,x,1e999999999\n", "is no price"),
        (HEAD + "openai,x,1000001\n", "from 0 to 1000000 dollars per million tokens"),
        (HEAD + "openai,x,1e-21\n", "more than 20 decimals"),
        (HEAD + f"openai,x,1.{'1' * 200}\n", "is no price"),
        (HEAD + "openai,x,1\nopenai,x,2\n", "line 3: openai/x has another price in line 2"),
        (HEAD + f"openai,{'x' * 500},1\n", "too long"),
        (HEAD + "openai,x\x00y,1\n", "cannot be printed"),
        (HEAD + 'openai,"x,1\n', "not CSV"),
        (
            "provider,model,price\n",
            "line 1: 'price' is no column of a price: use provider, model, valid_from",
        ),
        ("provider,input_usd_per_mtok,source\nmodel,1,\n", "no price list"),
        ("model,provider,model\n", "line 1: the header names a column twice"),
        ("provider,model,batch\na,x,maybe\n", "line 2: batch must be true or false, not 'maybe'"),
        ("provider,model,service_tier\na,x,fast\n", "must be one of standard, flex, priority, not 'fast'"),
        (
            "provider,model,min_prompt_tokens\na,x,1e5\n",
            "min_prompt_tokens must be a whole number, not '1e5'",
        ),
        ("provider,model,min_prompt_tokens\na,x,9999999999999999999\n", "below 2^63"),
        ("provider,model,valid_from\na,x,soon\n", "valid_from must be a date such as 2026-11-20"),
        ("provider,model,valid_from\na,x,0001-01-01T00:00:00+05:00\n", "valid_from must be a date"),
        ("[[price]]\nprovider = 'a'\n", "price 1: model is missing"),
        (
            "[[price]]\nprovider = 'a'\nmodel = 'x'\ncost = 1\n",
            "price 1: 'cost' is no column of a price: use ",
        ),
        ("[[price]]\nprovider = 'a'\nmodel = 7\n", "price 1: model must be text, not int"),
        ("[[price]]\nprovider = 'a'\nmodel = 'x'\ninput_usd_per_mtok = nan\n", "0 or more, not NaN"),
        ("[[price]]\nprovider = 'a'\nmodel = 'x'\ninput_usd_per_mtok = true\n", "must be a number, not bool"),
        ("[[price]]\nprovider = 'a'\nmodel = 'x'\ninput_usd_per_mtok = 1e99999999999999999999\n", "not TOML"),
        ("[[price]]\nprovider = 'a'\nmodel = 'x'\nbatch = 1.5\n", "batch must be true or false"),
        ("[[price]]\nprovider = \n", "not TOML"),
        ("title = 'x'\n[[price]]\n", "'title' is not known here"),
    ],
)
def test_a_wrong_line_or_table_is_named(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(text)
    assert says in str(caught.value)


def test_a_repeated_line_counts_once_and_is_said() -> None:
    file = from_csv(HEAD + "openai,x,1\nopenai,x,1.0\n", name="list", valid_from=None)
    assert len(file.rows) == 1
    assert file.skipped == ("openai/x: line 3 has the same price as line 2, which is kept",)


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


@given(st.text() | st.builds("{}{}".format, st.sampled_from(["{", "[", "[[price]]\n", HEAD]), st.text()))
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


# --- which list, which providers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (" \n{}", "litellm"),
        ("\ufeff[]", "langfuse"),
        ("# ours\n[[ price ]]\n", "toml"),
        ("[[price]]", "toml"),
        ("model,provider\n", "csv"),
    ],
)
def test_the_form_is_told_by_the_content(text: str, form: str) -> None:
    assert detect_form(text) == form


def test_a_list_is_cut_down_to_providers() -> None:
    text = litellm(
        a={"litellm_provider": "openai", "input_cost_per_token": 1e-6},
        b={"litellm_provider": "groq", "input_cost_per_token": 1e-6},
        c={"litellm_provider": "groq", "input_cost_per_token": 0},
    )
    file = read_price_file(text, name="list", valid_from=None)
    groq = only_providers(file, {"groq"})
    assert [row.lane for row in groq.rows] == ["groq/b"]
    assert groq.skipped == ("groq/c: a price of 0 is taken as unknown (input)",)
    usual = usual_providers(file, {"openai"})
    assert [row.lane for row in usual.rows] == ["openai/a"]
    assert usual.skipped[-1].startswith("1 prices of providers neither configured nor in the book (groq)")
