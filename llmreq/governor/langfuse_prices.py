"""Langfuse's price list, `default-model-prices.json`: a list of models with price tiers, in dollars per token.

A tier's conditions say when it holds: a service tier asked for, or more than so many tokens of input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from llmreq.governor.price_numbers import at, parse_json, per_million, whole
from llmreq.governor.price_row import PriceFile, PriceRow, unknown_long_prices, without_repeats

_NAMES = {
    "input_usd_per_mtok": ("input", "input_tokens", "input_text", "input_text_tokens", "prompt_token_count"),
    "cache_read_usd_per_mtok": (
        *("input_cached_tokens", "input_cache_read", "cache_read_input_tokens", "input_cached_text_tokens"),
        "cached_content_token_count",
    ),
    "cache_write_5m_usd_per_mtok": (
        *(
            "input_cache_creation_5m",
            "input_cache_creation",
            "cache_creation_input_tokens",
            "cache_write_tokens",
        ),
    ),
    "cache_write_1h_usd_per_mtok": ("input_cache_creation_1h",),
    "output_usd_per_mtok": (
        *("output", "output_tokens", "output_text", "output_text_tokens", "candidates_token_count"),
        # Reasoning is a part of our output: with a price of its own, one number cannot say it.
        *("output_reasoning", "output_reasoning_tokens", "reasoning_tokens", "thoughts_token_count"),
    ),
}
"""One price stands under the names that several SDKs give its tokens."""

_FAMILIES = (
    (r"claude-", "anthropic"),
    (
        r"gpt-(?!oss)|chatgpt-|o[1-9](?:$|-)|ft:|codex-|text-embedding-(?:3|ada)-|text-(?:ada|babbage|curie|davinci)-",
        "openai",
    ),
    (r"(?:davinci|babbage)-", "openai"),
    (r"gemini-|text-embedding-00", "gemini"),
    (r"(?:open-)?(?:mistral|mixtral|codestral|ministral|magistral|devstral|pixtral|voxtral)", "mistral"),
    (r"command|embed-|rerank-(?:v|english|multilingual)|c4ai-", "cohere"),
    (r"voyage-|rerank-[1-9]", "voyage"),
)

_SERVICE_TIERS = {
    frozenset({"flex"}): "flex",
    frozenset({"priority"}): "priority",
    frozenset({"fast", "priority"}): "priority",
}

_DATE = re.compile(r"-(?:20\d\d-\d\d-\d\d|20\d{6})$")


def from_langfuse(text: str, *, name: str, valid_from: datetime | None) -> PriceFile:
    """Langfuse's list as rows, the provider told by the model's name; a bucket it does not name is unknown.

    Skipped with a reason: models of no family known here, tiers whose condition no column can say.
    Raises ValueError that names the model.
    """
    document = parse_json(text)
    if not isinstance(document, list) or not all(
        isinstance(each, dict) and "modelName" in each for each in document
    ):
        raise ValueError("not Langfuse's price list: it must be a list of objects with a modelName")
    skipped: list[str] = []

    def placed() -> Iterator[tuple[str, PriceRow]]:
        for number, entry in enumerate(document, 1):
            with at(f"{entry['modelName']}"[:100]):
                for row in _rows_of(entry, f"langfuse, {name}", valid_from, skipped):
                    yield f"entry {number}", row

    rows, repeats = without_repeats(placed(), strict=False)
    return PriceFile(tuple(rows), (*skipped, *repeats), partial=True)


def _rows_of(
    entry: Mapping[str, Any], source: str, valid_from: datetime | None, skipped: list[str]
) -> list[PriceRow]:
    name = entry["modelName"]
    if not isinstance(name, str):
        raise ValueError("modelName must be text")
    provider = next((provider for family, provider in _FAMILIES if re.match(family, name)), None)
    if provider is None:
        skipped.append(f"{name}: belongs to no provider known here")
        return []
    found = []
    for model in _models(name, entry.get("matchPattern")):
        rows = []
        for tier in _tiers(entry):
            way = _way(tier)
            buckets, apart = _buckets(tier["prices"], model)
            label = f"{provider}/{model}: {str(tier.get('name') or 'its price')[:60]}"
            if isinstance(way, str):
                skipped.append(f"{label} {way}")
                continue
            if apart:
                skipped.append(
                    f"{label} has two prices for one kind of token, left unknown ({', '.join(apart)})"
                )
            row = PriceRow(provider, model, valid_from, way[0], way[1], False, source=source, **buckets)
            if row.known:
                rows.append(row)
            elif not apart:
                skipped.append(f"{label} has no price per token")
        found += rows + unknown_long_prices(rows)
    return found


def _models(name: str, pattern: object) -> list[str]:
    """The model's name; its family's too where the list says that the date may be left out: `gpt-5.5(-2026-04-23)?`."""
    date = _DATE.search(name)
    family = name[: date.start()] if date else ""
    optional = bool(date) and isinstance(pattern, str) and f"{family}({date[0] if date else ''})?" in pattern
    return [name, family] if optional else [name]


def _tiers(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tiers, best known first; older lists have only `prices`."""
    tiers = entry.get("pricingTiers") or [{"prices": entry.get("prices"), "isDefault": True}]
    if not isinstance(tiers, list) or not all(
        isinstance(tier, dict) and isinstance(tier.get("prices"), dict) for tier in tiers
    ):
        raise ValueError("must have pricingTiers, a list of objects with prices")
    return tiers


def _way(tier: Mapping[str, Any]) -> tuple[int, str] | str:
    """From how many prompt tokens on the tier holds, and for which service tier; or why no row can say it."""
    tokens, service_tier = 0, "standard"
    conditions = tier.get("conditions") or []
    if not isinstance(conditions, list) or not all(isinstance(each, dict) for each in conditions):
        raise ValueError("conditions must be a list of objects")
    if not conditions and tier.get("isDefault") is False:
        return "names no condition"
    for condition in conditions:
        if (start := _threshold(condition)) is not None:
            tokens = max(tokens, start)
        elif (asked := _service_tier(condition)) is not None:
            service_tier = asked
        else:
            return f"holds under a condition no column can say ({_shown(condition)})"
    return tokens, service_tier


def _threshold(condition: Mapping[str, Any]) -> int | None:
    pattern, value = condition.get("usageDetailPattern"), whole(condition.get("value"))
    more = {"gt": 1, "gte": 0}.get(str(condition.get("operator")))
    if not isinstance(pattern, str) or "input" not in pattern or "output" in pattern or None in (value, more):
        return None
    return (value or 0) + (more or 0)


def _service_tier(condition: Mapping[str, Any]) -> str | None:
    values = condition.get("values")
    if (
        condition.get("key") != "service_tier"
        or condition.get("operator") != "in"
        or not isinstance(values, list)
    ):
        return None
    return _SERVICE_TIERS.get(frozenset(map(str, values)))


def _shown(condition: Mapping[str, Any]) -> str:
    return ", ".join(str(value)[:40] for value in condition.values())[:120]


def _buckets(prices: Mapping[str, Any], model: str) -> tuple[dict[str, Decimal | None], list[str]]:
    """Dollars per million by bucket, and the buckets whose names disagree."""
    found: dict[str, Decimal | None] = {}
    apart = []
    for bucket, names in _NAMES.items():
        said = set()
        for name in names:
            with at(name):
                said.add(per_million(prices.get(name)))
        known = [price for price in said if price is not None]
        found[bucket] = known[0] if len(known) == 1 else None
        if len(known) > 1:
            apart.append(bucket.removesuffix("_usd_per_mtok"))
    with at("total"):
        total = per_million(prices.get("total"))
    if total is not None and not any(price is not None for price in found.values()):
        found["input_usd_per_mtok"] = total
        found["output_usd_per_mtok"] = None if "embed" in model else total
    return found, apart
