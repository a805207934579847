"""Our own price lists become rows exactly; the form is told by the content."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

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
from tests.governor.lists import NEW_YEAR, litellm, read

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
        (HEAD + f"openai,{'x' * 501},1\n", "too long"),
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
