"""The price book a database begins with: what its rows say, and what a call costs by them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from llmreq.database.statements import data_root

NOW = "2026-11-20 12:00:00+00"

# provider, model → input, cache read, cache write 5m, cache write 1h, output
STANDARD = [
    ("anthropic", "claude-haiku-5-5", ("0.10", "0.01", "0.125", "0.20", "0.50")),
    ("anthropic", "claude-haiku-4-5", ("1", "0.10", "1.25", "2", "5")),
    ("anthropic", "claude-sonnet-5-5", ("2", "0.10", "2.5", "4", "10")),
    ("anthropic", "claude-sonnet-4-5", ("3", "0.30", "3.75", "6", "15")),
    ("anthropic", "claude-opus-5-5", ("4", "0.20", "5", "8", "20")),
    ("anthropic", "claude-fable-5-2", ("8", "0.20", "10", "16", "40")),
    ("openai", "gpt-6-luna", ("0.1", "0.01", "0.125", "0.25", "0.5")),
    ("openai", "gpt-6.1-sol", ("2", "0.1", "2.5", "5", "10")),
    ("openai", "gpt-6-astra", ("10", "1", "12.5", "25", "50")),
    ("openai", "gpt-5.6-luna", ("0.2", "0.02", "0.25", "0.5", "1.2")),
    ("openai", "gpt-5.4", ("2.5", "0.25", None, None, "15")),
    ("openai", "gpt-4.1", ("2", "0.5", None, None, "8")),
    ("openai", "gpt-4o-mini", ("0.15", "0.075", None, None, "0.6")),
    ("openai", "text-embedding-3-large", ("0.13", None, None, None, None)),
    ("voyage", "voyage-4-lite", ("0.02", None, None, None, None)),
    ("cohere", "embed-v5.0-fast", ("0.08", None, None, None, None)),
    ("gemini", "gemini-3.5-flash", ("1.5", "0.15", None, None, "9")),
    ("mistral", "mistral-large-4", ("1.36", "0.14", None, None, "4.18")),
]

LISTED = {
    "anthropic": """
        claude-fable-5-2 claude-fable-5-1 claude-mythos-5-1 claude-fable-5 claude-mythos-5 claude-opus-5-5
        claude-opus-5 claude-opus-4-8 claude-opus-4-7 claude-opus-4-6 claude-opus-4-5 claude-sonnet-5-5
        claude-sonnet-5 claude-sonnet-4-6 claude-sonnet-4-5 claude-haiku-5-5 claude-haiku-4-5
    """,
    "openai": """
        gpt-6.2-astra gpt-6.2-sol gpt-6-astra gpt-6.1-sol gpt-6.1-terra gpt-6-sol gpt-6-luna gpt-5.6
        gpt-5.6-sol gpt-5.6-terra gpt-5.6-luna gpt-5.5 gpt-5.5-pro gpt-5.4 gpt-5.4-mini gpt-5.4-nano gpt-5.2
        gpt-5.1 gpt-5 gpt-5-mini gpt-5-nano gpt-4.1 gpt-4.1-mini gpt-4.1-nano gpt-4o gpt-4o-mini o3 o3-pro
        o4-mini o3-mini o1 text-embedding-3-small text-embedding-3-large text-embedding-ada-002
    """,
    "voyage": """
        voyage-4-large voyage-4 voyage-4-lite voyage-code-4 voyage-context-4 voyage-3-large voyage-code-3
        voyage-context-3 voyage-3.5 voyage-3.5-lite voyage-finance-2 voyage-law-2 voyage-multimodal-3.5
        rerank-3 rerank-2.5 rerank-2.5-lite
    """,
    "cohere": "embed-v4.0 embed-v5.0-pro embed-v5.0-fast",
    "gemini": """
        gemini-2.5-pro gemini-2.5-flash gemini-2.5-flash-lite gemini-3.5-flash gemini-3.5-flash-lite
        gemini-3.6-flash gemini-3.7-flash gemini-3.8-flash gemini-3.1-pro-preview gemini-4-argon
        gemini-embedding-001 gemini-embedding-2
    """,
    "mistral": """
        mistral-large-latest mistral-large-4 mistral-medium-3.5 mistral-small codestral ministral-8b
        mistral-embed codestral-embed
    """,
}


@pytest.fixture
def prices(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database) as connection:
        yield connection


@pytest.mark.parametrize(("provider", "model", "expected"), STANDARD)
def test_a_model_has_its_list_price(
    prices: psycopg.Connection, provider: str, model: str, expected: tuple[str | None, ...]
) -> None:
    assert _price(prices, provider, model) == tuple(None if p is None else Decimal(p) for p in expected)


def test_every_listed_model_has_a_price(prices: psycopg.Connection) -> None:
    missing = [
        f"{provider}/{model}"
        for provider, models in LISTED.items()
        for model in models.split()
        if (price := _price(prices, provider, model)) is None or price[0] is None
    ]
    assert missing == []


def test_a_model_s_name_alone_tells_its_provider(prices: psycopg.Connection) -> None:
    shared = prices.execute("SELECT model FROM llm_prices GROUP BY model HAVING count(DISTINCT provider) > 1")
    assert shared.fetchall() == []


def test_every_model_of_the_default_routes_has_a_price(prices: psycopg.Connection) -> None:
    lanes = prices.execute("SELECT DISTINCT unnest(candidates) FROM llm_routes").fetchall()
    assert lanes
    for (lane,) in lanes:
        provider, _, model = lane.partition("/")
        price = _price(prices, provider, model)
        assert price is not None, lane
        assert price[0] is not None, lane
        assert price[-1] is not None, lane


def test_only_the_local_tier_is_free(prices: psycopg.Connection) -> None:
    free = prices.execute(
        "SELECT provider, model FROM llm_prices WHERE 0 IN (input_usd_per_mtok, cache_read_usd_per_mtok,"
        " cache_write_5m_usd_per_mtok, cache_write_1h_usd_per_mtok, output_usd_per_mtok)"
    ).fetchall()
    assert free == [("local", "*")]


@pytest.mark.parametrize(
    ("provider", "model", "prompt_tokens", "expected"),
    [
        ("anthropic", "claude-haiku-5-5", 100_000, ("0.10", "0.50")),
        ("anthropic", "claude-haiku-5-5", 100_001, ("0.50", "2.50")),
        ("openai", "gpt-5.4", 272_000, ("2.5", "15")),
        ("openai", "gpt-5.4", 272_001, ("5", "22.5")),
        ("openai", "gpt-6-luna", 272_001, ("0.2", "0.75")),
        ("openai", "gpt-5.4-mini", 272_001, ("0.75", "4.5")),
        ("gemini", "gemini-2.5-pro", 200_000, ("1.25", "10")),
        ("gemini", "gemini-2.5-pro", 200_001, ("2.5", "15")),
    ],
)
def test_a_long_prompt_is_charged_at_its_threshold_s_rate(
    prices: psycopg.Connection, provider: str, model: str, prompt_tokens: int, expected: tuple[str, str]
) -> None:
    price = _price(prices, provider, model, prompt_tokens=prompt_tokens)
    assert price is not None
    assert (price[0], price[-1]) == tuple(map(Decimal, expected))


def test_a_long_prompt_doubles_openai_s_cache_prices_too(prices: psycopg.Connection) -> None:
    price = _price(prices, "openai", "gpt-6.1-sol", prompt_tokens=300_000)
    assert price == tuple(map(Decimal, ("4", "0.2", "5", "10", "15")))


@pytest.mark.parametrize(
    ("model", "at", "bucket", "expected"),
    [
        ("claude-sonnet-5-5", "2026-10-06 23:59:59+00", 1, "0.20"),
        ("claude-sonnet-5-5", "2026-10-07 00:00:00+00", 1, "0.10"),
        ("gpt-5.6-sol", "2026-08-20 23:59:59+00", 4, "30"),
        ("gpt-5.6-sol", "2026-08-21 00:00:00+00", 4, "20"),
        ("gpt-5.6-luna", "2026-07-29 23:59:59+00", 0, "1"),
        ("gpt-5.6-luna", "2026-07-30 00:00:00+00", 0, "0.2"),
    ],
)
def test_a_call_is_priced_by_the_version_of_its_day(
    prices: psycopg.Connection, model: str, at: str, bucket: int, expected: str
) -> None:
    provider = "anthropic" if model.startswith("claude") else "openai"
    price = _price(prices, provider, model, at=at)
    assert price is not None
    assert price[bucket] == Decimal(expected)


def test_a_model_has_no_price_before_it_was_released(prices: psycopg.Connection) -> None:
    assert _price(prices, "anthropic", "claude-fable-5-2", at="2026-11-08 23:59:59+00") is None
    assert _price(prices, "openai", "gpt-6.2-astra", at="2026-11-16 23:59:59+00") is None


def test_an_unknown_price_is_null_and_makes_the_call_unpriced(prices: psycopg.Connection) -> None:
    assert _price(prices, "anthropic", "claude-mythos-5-2") == (None,) * 5
    assert _price(prices, "openai", "gpt-7") is None
    astra = ("openai", "gpt-6.2-astra")
    assert _cost(prices, *astra, input_tokens=1_000_000, output_tokens=1_000) == Decimal("16.06")
    assert _cost(prices, *astra, input_tokens=1_000, cache_read_tokens=1) is None


def test_a_cost_is_exact(prices: psycopg.Connection) -> None:
    cost = _cost(
        prices,
        "anthropic",
        "claude-sonnet-5-5",
        input_tokens=1_001,
        cache_read_tokens=20_003,
        output_tokens=307,
    )
    assert cost == Decimal("0.0070723")


def test_a_dated_snapshot_has_its_family_s_price_unless_it_has_its_own(prices: psycopg.Connection) -> None:
    assert _price(prices, "openai", "gpt-4o-2024-08-06") == _price(prices, "openai", "gpt-4o")
    own = _price(prices, "openai", "gpt-4o-2024-05-13")
    assert own is not None
    assert (own[0], own[-1]) == (Decimal(5), Decimal(15))


@pytest.mark.parametrize(
    ("model", "tier", "batch", "expected"),
    [
        ("claude-haiku-4-5", "standard", True, ("0.5", "0.05", "0.625", "1", "2.5")),
        ("gpt-6-luna", "standard", True, ("0.05", "0.005", "0.0625", "0.125", "0.25")),
        ("gpt-6-luna", "flex", False, ("0.05", "0.005", "0.0625", "0.125", "0.25")),
        ("gpt-6-luna", "priority", False, ("0.2", "0.02", "0.25", "0.5", "1")),
        ("gpt-5.5", "priority", False, ("12.5", "1.25", None, None, "75")),
        ("gpt-5-mini", "priority", False, ("0.45", "0.045", None, None, "3.6")),
        ("text-embedding-3-large", "standard", True, ("0.065", None, None, None, None)),
    ],
)
def test_batch_and_service_tiers_have_rows_of_their_own(
    prices: psycopg.Connection, model: str, tier: str, batch: bool, expected: tuple[str | None, ...]
) -> None:
    row = prices.execute(
        f"SELECT {_BUCKETS} FROM llm_prices"
        " WHERE model = %s AND service_tier = %s AND batch = %s AND min_prompt_tokens = 0",
        (model, tier, batch),
    ).fetchone()
    assert row == tuple(None if p is None else Decimal(p) for p in expected)


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_seeding_again_adds_nothing_in_any_time_zone(prices: psycopg.Connection, timezone: str) -> None:
    before = prices.execute("SELECT id, source FROM llm_prices ORDER BY id").fetchall()
    prices.execute("SELECT set_config('TimeZone', %s, false)", (timezone,))
    # The raw text: a script of several statements takes no parameters.
    prices.execute(_seed().encode())
    assert prices.execute("SELECT id, source FROM llm_prices ORDER BY id").fetchall() == before


_BUCKETS = (
    "input_usd_per_mtok, cache_read_usd_per_mtok, cache_write_5m_usd_per_mtok,"
    " cache_write_1h_usd_per_mtok, output_usd_per_mtok"
)

# How llmreq_finish picks a call's price.
_VERSION = """
    FROM llmreq_price_rows(%(provider)s, %(model)s) p
    WHERE p.service_tier = 'standard' AND p.valid_from <= %(at)s::timestamptz AND p.min_prompt_tokens <= %(prompt_tokens)s
    ORDER BY p.min_prompt_tokens DESC, p.valid_from DESC
    LIMIT 1
"""


def _price(
    prices: psycopg.Connection, provider: str, model: str, *, prompt_tokens: int = 0, at: str = NOW
) -> tuple[Decimal | None, ...] | None:
    """The five buckets of the version a call is priced by; None without a row."""
    values = {"provider": provider, "model": model, "prompt_tokens": prompt_tokens, "at": at}
    return prices.execute(f"SELECT {_BUCKETS} {_VERSION}", values).fetchone()


def _cost(
    prices: psycopg.Connection,
    provider: str,
    model: str,
    *,
    input_tokens: int = 0,
    cache_read_tokens: int = 0,
    output_tokens: int = 0,
) -> Decimal | None:
    values: dict[str, Any] = {
        "provider": provider,
        "model": model,
        "at": NOW,
        "prompt_tokens": input_tokens + cache_read_tokens,
        "input": input_tokens,
        "read": cache_read_tokens,
        "output": output_tokens,
    }
    row = prices.execute(
        f"SELECT llmreq_cost(p, %(input)s, %(read)s, 0, 0, %(output)s) {_VERSION}", values
    ).fetchone()
    assert row is not None
    cost: Decimal | None = row[0]
    return cost


def _seed() -> str:
    return Path(data_root() / "sql" / "seeds" / "prices.sql").read_text()
