"""Small price lists, and how their rows are shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from llmreq.governor.price_files import PriceRow, read_price_file

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
