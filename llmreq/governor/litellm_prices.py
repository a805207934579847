"""LiteLLM's price list, `model_prices_and_context_window.json`: an object of model → fields, in dollars per token.

A price's field says everything in its name: the bucket, the prompt size from which it holds, the service tier, as in
`cache_creation_input_token_cost_above_1hr_above_200k_tokens` or `input_cost_per_token_above_272k_tokens_priority`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from llmreq.governor.price_numbers import at, parse_json, per_million, whole
from llmreq.governor.price_row import PriceFile, PriceRow, unknown_long_prices, without_repeats

_FIELD = re.compile(
    r"(?P<bucket>input_cost_per_token|output_cost_per_token|output_cost_per_reasoning_token"
    r"|cache_read_input_token_cost|cache_creation_input_token_cost(?:_above_1hr)?)"
    r"(?:_above_(?P<thousands>[1-9][0-9]{0,8})k_tokens)?(?:_(?P<way>batches|flex|priority))?"
)

_BUCKETS = {
    "input_cost_per_token": "input_usd_per_mtok",
    "cache_read_input_token_cost": "cache_read_usd_per_mtok",
    "cache_creation_input_token_cost": "cache_write_5m_usd_per_mtok",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_usd_per_mtok",
    "output_cost_per_token": "output_usd_per_mtok",
    "output_cost_per_reasoning_token": "reasoning",
}

_WAYS = {
    None: ("standard", False),
    "batches": ("standard", True),
    "flex": ("flex", False),
    "priority": ("priority", False),
}

_PROVIDERS = {
    "text-completion-openai": "openai",
    "anthropic_text": "anthropic",
    "cohere_chat": "cohere",
    "bedrock_converse": "bedrock",
    "azure_text": "azure",
    "ollama_chat": "ollama",
}
"""LiteLLM's names for parts of one provider; `vertex_ai-…` and `…-embedding-models` lose their tail as well."""

_OWN_MACHINE = {
    "ollama",
    "vllm",
    "hosted_vllm",
    "lm_studio",
    "llamafile",
    "xinference",
    "lemonade",
    "docker_model_runner",
}
"""Where a price of 0 is meant."""

_WITHOUT_OUTPUT = {"embedding", "rerank"}

# tier, batch, first prompt token → bucket → dollars
_Groups = dict[tuple[int, str, bool], dict[str, Decimal | None]]


def from_litellm(text: str, *, name: str, valid_from: datetime | None) -> PriceFile:
    """LiteLLM's list as rows; a bucket it does not name is unknown, and so is a hosted model's price of 0.

    Skipped with a reason: what has no price per token. Raises ValueError that names the model.
    """
    document = parse_json(text)
    if not isinstance(document, dict) or not any(
        isinstance(entry, dict) and "litellm_provider" in entry for entry in document.values()
    ):
        raise ValueError("not LiteLLM's price list: no entry names its litellm_provider")
    skipped: list[str] = []

    def placed() -> Iterator[tuple[str, PriceRow]]:
        for key, entry in document.items():
            with at(key[:100]):
                for row in _rows_of(key, entry, f"litellm, {name}", valid_from, skipped):
                    yield key, row

    rows, repeats = without_repeats(placed(), strict=False)
    return PriceFile(tuple(rows), (*skipped, *repeats), partial=True)


def _rows_of(
    key: str, entry: Any, source: str, valid_from: datetime | None, skipped: list[str]
) -> list[PriceRow]:
    if not isinstance(entry, dict):
        raise ValueError(f"must be an object, not {type(entry).__name__}")
    theirs = entry.get("litellm_provider")
    if key == "sample_spec" or not isinstance(theirs, str) or not theirs:
        skipped.append(
            f"{key}: names no provider" if key != "sample_spec" else f"{key}: describes the fields"
        )
        return []
    provider = _provider(theirs)
    model = _model(key, theirs, provider)
    groups = _groups(entry)
    notes = [
        *_drop_zeros(groups, provider, str(entry.get("mode"))),
        *_drop_output_with_dearer_thoughts(groups),
    ]
    rows = [
        PriceRow(provider, model, valid_from, tokens, tier, batch, source=source, **buckets)
        for (tokens, tier, batch), buckets in groups.items()
    ]
    rows = [row for row in rows if row.known]
    if not rows and not notes:
        notes = [f"no price per token (mode {entry.get('mode')})"]
    skipped.extend(f"{provider}/{model}: {note}" for note in notes)
    return rows + unknown_long_prices(rows)


def _provider(theirs: str) -> str:
    if theirs.startswith("vertex_ai-"):
        return "vertex_ai"
    return _PROVIDERS.get(theirs, theirs.removesuffix("-embedding-models"))


def _model(key: str, theirs: str, provider: str) -> str:
    """The model's name as the provider knows it: without the prefix that names the provider."""
    prefix, slash, rest = key.partition("/")
    return rest if slash and rest and prefix in (theirs, provider) else key


def _groups(entry: Mapping[str, Any]) -> _Groups:
    """The prices by prompt size, tier and batch, dollars per million."""
    groups: _Groups = {}
    _collect(groups, entry, 0)
    steps = entry.get("tiered_pricing") or []
    for step in steps if isinstance(steps, list) else [steps]:
        # Ranges of the prompt's size, the lower end exclusive: [[0, 32000], [32000, 128000]].
        bounds = step.get("range") if isinstance(step, dict) else None
        start = whole(bounds[0]) if isinstance(bounds, list) and bounds else None
        if start is None:
            raise ValueError("tiered_pricing must be a list of objects with a range")
        _collect(groups, step, start + (start > 0))
    return groups


def _collect(groups: _Groups, fields: Mapping[str, Any], tokens: int) -> None:
    for field, value in fields.items():
        if found := _FIELD.fullmatch(field):
            start = int(found["thousands"]) * 1000 + 1 if found["thousands"] else tokens
            with at(field):
                price = per_million(value)
            groups.setdefault((start, *_WAYS[found["way"]]), {})[_BUCKETS[found["bucket"]]] = price


def _drop_zeros(groups: _Groups, provider: str, mode: str) -> list[str]:
    """No hosted model is free: its 0 stands for a price nobody entered."""
    if provider in _OWN_MACHINE:
        return []
    unknown = set()
    for buckets in groups.values():
        for bucket, price in buckets.items():
            if price == 0:
                buckets[bucket] = None
                if not (bucket == "output_usd_per_mtok" and mode in _WITHOUT_OUTPUT):
                    unknown.add(bucket.removesuffix("_usd_per_mtok"))
    return [f"a price of 0 is taken as unknown ({', '.join(sorted(unknown))})"] if unknown else []


def _drop_output_with_dearer_thoughts(groups: _Groups) -> list[str]:
    """Our output price also pays for reasoning: where that costs otherwise, one number cannot say it."""
    apart = False
    for buckets in groups.values():
        thoughts = buckets.pop("reasoning", None)
        apart |= thoughts is not None and thoughts != buckets.get("output_usd_per_mtok")
    if apart:
        for buckets in groups.values():
            buckets["output_usd_per_mtok"] = None
    return ["reasoning has a price of its own: the output price is left unknown"] if apart else []
