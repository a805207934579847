"""Retry-After in all its forms, Go durations, and the vendors' rate-limit headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from llmreq.limits import MAX_RATE_LIMIT, MAX_RETRY_AFTER_SECONDS

RESOURCES = ("requests", "tokens", "input-tokens", "output-tokens")
"""What the vendors limit, as they call it."""

_PARTS = ("limit", "remaining", "reset")
_NAMES = tuple(
    (
        resource,
        tuple(f"x-ratelimit-{part}-{resource}" for part in _PARTS),
        tuple(f"anthropic-ratelimit-{resource}-{part}" for part in _PARTS),
    )
    for resource in RESOURCES
)
"""Resource, OpenAI's headers of it, Anthropic's."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_LARGEST = 1e12
_GO_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """One resource's limit as the provider sees it now: at least 1, and no less than what remains; None where it cannot be.

    `reset_seconds` counts from the response.
    """

    limit: int | None
    remaining: int | None
    reset_seconds: float | None


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait: `retry-after-ms` first, then `retry-after` in seconds or as an HTTP date; bounded."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    given = headers.get("retry-after")
    if given is None:
        return None
    seconds = _number(given)
    if seconds is not None:
        return _bounded(seconds)
    try:
        at = parsedate_to_datetime(given)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return _bounded(_unix_seconds(at) - now)


def go_duration_seconds(text: str) -> float | None:
    """`6m0s`, `7.66s`, `120ms` in seconds; None for anything else."""
    parts = _GO_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    return seconds if seconds < _LARGEST else None


def rate_headers(headers: Mapping[str, str], now: float) -> dict[str, RateHeaders]:
    """What either vendor says of `requests`, `tokens`, `input-tokens`, `output-tokens`; absent ones are left out."""
    found: dict[str, RateHeaders] = {}
    if not any("ratelimit" in name for name in headers):
        return found
    for resource, openai, anthropic in _NAMES:
        if (seen := _openai(headers, openai) or _anthropic(headers, anthropic, now)) is not None:
            found[resource] = seen
    return found


def _openai(headers: Mapping[str, str], names: tuple[str, ...]) -> RateHeaders | None:
    limit, remaining, reset = map(headers.get, names)
    if limit is None and remaining is None:
        return None
    return _believed(limit, remaining, go_duration_seconds(reset) if reset else None)


def _anthropic(headers: Mapping[str, str], names: tuple[str, ...], now: float) -> RateHeaders | None:
    limit, remaining, reset = map(headers.get, names)
    if limit is None and remaining is None:
        return None
    return _believed(limit, remaining, _until(reset, now))


def _believed(limit: str | None, remaining: str | None, reset_seconds: float | None) -> RateHeaders:
    """A limit of 0, which would close a lane for good, or one that cannot be is a fault of the server: we know none then."""
    most, left = _whole(limit, 1), _whole(remaining, 0)
    if most is not None and left is not None and left > most:
        most = left = None
    return RateHeaders(most, left, reset_seconds)


def _until(stamp: str | None, now: float) -> float | None:
    try:
        at = datetime.fromisoformat(stamp) if stamp else None
    except ValueError:
        return None
    return max(0.0, _unix_seconds(at) - now) if at is not None else None


def _unix_seconds(at: datetime) -> float:
    """A time without its zone is UTC's, never this machine's."""
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH).total_seconds()


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < _LARGEST else None


def _whole(text: str | None, least: int) -> int | None:
    number = _number(text)
    return int(number) if number is not None and least <= number <= MAX_RATE_LIMIT else None


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MAX_RETRY_AFTER_SECONDS)
