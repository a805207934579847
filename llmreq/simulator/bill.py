"""The simulator's own books: every call it answered, what it counted, what it charges. Exact decimals."""

from __future__ import annotations

from collections import Counter, deque
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


CALLS_KEPT = 200_000
"""Single calls kept to be asked for; the sums are over all."""


class Bill:
    """All calls so far: exact sums, and the last calls one by one."""

    def __init__(self, copy: TextIO | None = None) -> None:
        self.prices: dict[str, Mapping[str, str]] = dict(PRICES)
        self._copy = copy
        self.reset()

    def reset(self) -> None:
        """Forget every call."""
        self.calls: deque[Call] = deque(maxlen=CALLS_KEPT)
        self._count = self._billed = 0
        self._cost = self._delivered = Decimal(0)
        self._by_status: Counter[str] = Counter()
        self._by_model: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()

    def book(self, call: Call) -> None:
        """Price a call and write it down. A model without a price costs 0 here."""
        self._count += 1
        self._by_status[str(call.status)] += 1
        self._by_model[call.model] += 1
        if call.billed:
            cost = self._price(call)
            call.cost_usd = format(cost, "f")
            self._billed += 1
            self._cost += cost
            self._delivered += cost if call.delivered else 0
            for bucket in (*BUCKETS, "reasoning"):
                self._tokens[bucket] += getattr(call.tokens, bucket)
        self.calls.append(call)
        if self._copy is not None:
            self._copy.write(orjson.dumps(asdict(call)).decode() + "\n")
            self._copy.flush()

    def totals(self) -> dict[str, Any]:
        """The bill: all, what reached the client, and counts by status and model."""
        return {
            "calls": self._count,
            "billed_calls": self._billed,
            "cost_usd": format(self._cost, "f"),
            "delivered_cost_usd": format(self._delivered, "f"),
            "by_status": dict(self._by_status),
            "by_model": dict(self._by_model),
            "tokens": {bucket: self._tokens[bucket] for bucket in (*BUCKETS, "reasoning")},
        }

    def _price(self, call: Call) -> Decimal:
        prices = self.prices.get(call.model, {})
        per_million = sum(
            (Decimal(prices.get(bucket, "0")) * getattr(call.tokens, bucket) for bucket in BUCKETS),
            Decimal(0),
        )
        return per_million / 1_000_000
