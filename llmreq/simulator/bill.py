"""The simulator's own books: every call it answered, what it counted, what it charges. Exact decimals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, TextIO

import orjson

BUCKETS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")

# Dollars per million tokens. Written down here on their own, so that a mistake in llmreq's price book shows as a difference.
PRICES: dict[str, dict[str, str]] = {
    "gpt-6-luna": {"input": "0.1", "cache_read": "0.01", "cache_write_5m": "0.125", "output": "0.5"},
    "gpt-6-sol": {"input": "2", "cache_read": "0.2", "cache_write_5m": "2.5", "output": "10"},
    "gpt-6.1-sol": {"input": "2", "cache_read": "0.1", "cache_write_5m": "2.5", "output": "10"},
    "gpt-4o-mini": {"input": "0.15", "cache_read": "0.075", "output": "0.6"},
    "gpt-5.4-nano": {"input": "0.2", "cache_read": "0.02", "output": "1.25"},
    "claude-haiku-5-5": {
        "input": "0.10", "cache_read": "0.01", "cache_write_5m": "0.125", "cache_write_1h": "0.20", "output": "0.50",
    },
    "claude-sonnet-5-5": {
        "input": "2", "cache_read": "0.10", "cache_write_5m": "2.5", "cache_write_1h": "4", "output": "10",
    },
    "claude-haiku-4-5": {
        "input": "1", "cache_read": "0.10", "cache_write_5m": "1.25", "cache_write_1h": "2", "output": "5",
    },
    "text-embedding-3-small": {"input": "0.02"},
}  # fmt: skip


@dataclass(slots=True)
class Tokens:
    """Disjoint counts of one call; reasoning is a part of output."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0


@dataclass(slots=True)
class Call:
    """One answered call. `delivered`: the client was there and got the whole answer, as far as the server can know."""

    id: str
    wire: str
    model: str
    arrived: float
    status: int = 0
    fault: str = "ok"
    tokens: Tokens = field(default_factory=Tokens)
    cost_usd: str = "0"
    billed: bool = False
    delivered: bool = True


class Bill:
    """All calls so far."""

    def __init__(self, copy: TextIO | None = None) -> None:
        self.prices: dict[str, Mapping[str, str]] = dict(PRICES)
        self.calls: list[Call] = []
        self._copy = copy

    def book(self, call: Call) -> None:
        """Price a call and write it down. A model without a price costs 0 here."""
        if call.billed:
            prices = self.prices.get(call.model, {})
            cost = sum(
                (Decimal(prices.get(bucket, "0")) * getattr(call.tokens, bucket) for bucket in BUCKETS), Decimal(0)
            )
            call.cost_usd = format(cost / 1_000_000, "f")
        self.calls.append(call)
        if self._copy is not None:
            self._copy.write(orjson.dumps(asdict(call)).decode() + "\n")
            self._copy.flush()

    def reset(self) -> None:
        self.calls.clear()

    def totals(self) -> dict[str, Any]:
        """The bill: all, what reached the client, and counts by status and model."""
        return {
            "calls": len(self.calls),
            "billed_calls": sum(call.billed for call in self.calls),
            "cost_usd": str(_sum(self.calls)),
            "delivered_cost_usd": str(_sum([call for call in self.calls if call.delivered])),
            "by_status": {str(status): n for status, n in Counter(call.status for call in self.calls).items()},
            "by_model": dict(Counter(call.model for call in self.calls)),
            "tokens": {
                bucket: sum(getattr(call.tokens, bucket) for call in self.calls if call.billed)
                for bucket in (*BUCKETS, "reasoning")
            },
        }


def _sum(calls: list[Call]) -> Decimal:
    return sum((Decimal(call.cost_usd) for call in calls), Decimal(0))
