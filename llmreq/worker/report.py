"""What a worker reports of one call: the JSON object that `llmreq_finish` takes. Pure."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from llmreq.check.decode import storable_text
from llmreq.errors import ErrorCode
from llmreq.wire.outcome import Answer, Billed, Failure, Usage
from llmreq.wire.rate_headers import RateHeaders

_USAGE = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)


@dataclass(frozen=True, slots=True)
class Report:
    """One claim's outcome, encoded once. `facts` is everything but the claim's three names."""

    id: UUID
    claim_seq: int
    claimed_at: datetime
    facts: Mapping[str, Any]
    encoded: bytes = field(repr=False)
    is_bare: bool = False

    def bare(self, reason: str) -> Report:
        """The same call without its payload, for an answer that Postgres refuses to store; its bill is kept."""
        kept = {
            name: self.facts.get(name)
            for name in (*_USAGE, "billed", "service_tier", "http_status", "latency_ms")
        }
        facts = {
            **kept,
            "outcome": ErrorCode.INTERNAL,
            "error_message": f"the answer could not be stored: {reason}"[:500],
        }
        return report(self.id, self.claim_seq, self.claimed_at, facts, is_bare=True)


def report(
    id: UUID, claim_seq: int, claimed_at: datetime, facts: Mapping[str, Any], *, is_bare: bool = False
) -> Report:
    """Build a report; None values are left out."""
    body = {name: value for name, value in facts.items() if value is not None}
    encoded = encode({"id": id, "claim_seq": claim_seq, "claimed_at": claimed_at, **body})
    return Report(id, claim_seq, claimed_at, facts, encoded, is_bare)


def answer_facts(answer: Answer, latency_ms: int | None) -> dict[str, Any]:
    """What the provider's answer itself says: bill, identifiers, text."""
    usage = answer.usage
    counts = {name: getattr(usage, name) for name in _USAGE} if isinstance(usage, Usage) else {}
    return {
        **counts,
        "billed": answer.billed
        if usage is not None or answer.billed is not Billed.BY_USAGE
        else Billed.UPPER_BOUND,
        "response": None if answer.text is None else storable_text(answer.text)[0],
        "http_status": answer.http_status,
        "finish_reason": answer.finish_reason,
        "provider_model": answer.model,
        "provider_request_id": answer.provider_request_id,
        "service_tier": answer.service_tier,
        "latency_ms": latency_ms,
        "rate": _rate(answer.rate_headers),
    }


def _rate(seen: Mapping[str, RateHeaders] | None) -> dict[str, dict[str, int]] | None:
    """As `llmreq_heed_headers` reads it; only what came with both figures."""
    rate = {
        resource: {"limit": each.limit, "remaining": each.remaining}
        for resource, each in (seen or {}).items()
        if each.limit is not None and each.remaining is not None
    }
    return rate or None


def failure_facts(failure: Failure) -> dict[str, Any]:
    """A failure in the one error shape."""
    return {
        "outcome": failure.code,
        "error_message": failure.message[:2000],
        "error_details": dict(failure.details) or None,
        "retry_after_seconds": failure.retry_after_seconds,
    }


def encode(value: Any) -> bytes:
    """JSON in UTF-8, for what a model may write too: integers beyond 64 bits and lone surrogates, which orjson refuses."""
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError):
        text = json.dumps(value, default=_plain, ensure_ascii=False)
        return text.encode("utf-8", "replace")


def _plain(value: object) -> Any:
    return json.loads(value.contents) if isinstance(value, orjson.Fragment) else str(value)


def elapsed_ms(started: float) -> int:
    """Milliseconds since `started` on the monotonic clock, as a call's `latency_ms`."""
    return round((time.monotonic() - started) * 1000)
