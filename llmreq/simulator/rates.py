"""Enforced limits per model: requests and tokens per minute, refilled continuously, with the vendors' headers. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(slots=True)
class _Bucket:
    per_minute: float
    level: float
    at: float

    def refill(self, now: float) -> None:
        self.level = min(self.per_minute, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now


class Rates:
    """Limits by model: `{"gpt-6-luna": {"rpm": 6000, "tpm": 600000}}`. A full minute may burst, as the vendors let it."""

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, _Bucket]] = {}

    def configure(self, limits: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """Replace all limits; every bucket begins with one second's worth."""
        self._buckets = {
            model: {name: _Bucket(float(rate), float(rate) / 60, now) for name, rate in each.items()}
            for model, each in limits.items()
        }

    def admit(self, model: str, tokens: int, now: float) -> float | None:
        """None: admitted and counted. Else the seconds until it would be."""
        buckets = self._buckets.get(model, {})
        wait = 0.0
        for name, bucket in buckets.items():
            bucket.refill(now)
            missing = (1 if name == "rpm" else tokens) - bucket.level
            wait = max(wait, missing * 60 / bucket.per_minute)
        if wait > 0:
            return wait
        for name, bucket in buckets.items():
            bucket.level -= 1 if name == "rpm" else tokens
        return None

    def headers(self, wire: str, model: str, now: float) -> tuple[tuple[str, str], ...]:
        """The vendor's rate-limit headers for this model."""
        found: list[tuple[str, str]] = []
        for name, bucket in self._buckets.get(model, {}).items():
            resource = "requests" if name == "rpm" else "tokens"
            reset = (bucket.per_minute - bucket.level) * 60 / bucket.per_minute
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
