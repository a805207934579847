"""Enforced limits per model: requests and tokens per minute, refilled continuously, with the vendors' headers. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

RESOURCES = {
    "rpm": "requests",
    "tpm": "tokens",
    "itpm": "input-tokens",
    "otpm": "output-tokens",
}
"""Names in the configuration, and in the vendors' headers."""


@dataclass(slots=True)
class _Bucket:
    per_minute: float
    capacity: float
    level: float
    at: float

    def refill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now


class Rates:
    """Limits by model: `{"gpt-6-luna": {"rpm": 6000, "tpm": 600000, "burst_seconds": 60}}`; also `itpm` and `otpm`.

    Refilled continuously; `burst_seconds` (a full minute unless said) is what an idle model may take at once.
    """

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, _Bucket]] = {}
        self.reset()

    def reset(self) -> None:
        """Count afresh; levels stay."""
        self.refused = 0
        self.admitted: dict[str, dict[str, int]] = {}

    def configure(self, limits: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """Replace all limits; every bucket begins with one second's worth."""
        self._buckets = {}
        for model, each in limits.items():
            burst = float(each.get("burst_seconds", 60)) / 60
            self._buckets[model] = {
                name: _Bucket(float(rate), max(1.0, float(rate) * burst), float(rate) / 60, now)
                for name, rate in each.items()
                if name in RESOURCES
            }

    def admit(self, model: str, input_tokens: int, output_cap: int, now: float) -> float | None:
        """None: admitted and counted. Else the seconds until it would be; a refused call takes nothing.

        Tokens per minute count the input and the whole output cap, as OpenAI documents it.
        """
        buckets = self._buckets.get(model)
        if not buckets:
            return None
        counted = self.admitted.setdefault(model, {"requests": 0, "tokens": 0})
        costs = {"rpm": 1, "tpm": input_tokens + output_cap, "itpm": input_tokens, "otpm": output_cap}
        wait = 0.0
        for name, bucket in buckets.items():
            bucket.refill(now)
            wait = max(wait, (costs[name] - bucket.level) * 60 / bucket.per_minute)
        if wait > 0:
            self.refused += 1
            return wait
        for name, bucket in buckets.items():
            bucket.level -= costs[name]
        counted["requests"] += 1
        counted["tokens"] += costs["tpm"]
        return None

    def settle(self, model: str, output_cap: int, output_tokens: int) -> None:
        """Output tokens per minute are estimated from the cap and corrected at the end, as Anthropic documents it."""
        bucket = self._buckets.get(model, {}).get("otpm")
        if bucket is not None:
            bucket.level += output_cap - output_tokens

    def headers(self, wire: str, model: str, now: float) -> tuple[tuple[str, str], ...]:
        """The vendor's rate-limit headers for this model."""
        found: list[tuple[str, str]] = []
        for name, bucket in self._buckets.get(model, {}).items():
            resource = RESOURCES[name]
            bucket.refill(now)
            reset = (bucket.capacity - bucket.level) * 60 / bucket.per_minute
            left = max(0, math.floor(bucket.level))
            if wire == "openai":
                found += [
                    (f"x-ratelimit-limit-{resource}", str(int(bucket.per_minute))),
                    (f"x-ratelimit-remaining-{resource}", str(left)),
                    (f"x-ratelimit-reset-{resource}", _go(reset)),
                ]
            else:
                at = datetime.fromtimestamp(now + reset, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                found += [
                    (f"anthropic-ratelimit-{resource}-limit", str(int(bucket.per_minute))),
                    (f"anthropic-ratelimit-{resource}-remaining", str(left)),
                    (f"anthropic-ratelimit-{resource}-reset", at),
                ]
        return tuple(found)


def _go(seconds: float) -> str:
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:.3f}s" if minutes else f"{rest:.3f}s"
