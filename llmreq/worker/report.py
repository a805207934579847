"""What a worker reports of one call: the JSON object that `llmreq_finish` takes. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from llmreq.errors import ErrorCode
from llmreq.wire.outcome import Answer, Billed, Failure, Usage
from llmreq.wire.rate_headers import RateHeaders
from llmreq.worker.outcome_fields import TOKENS, encode, fitted

_BOOKED = (*TOKENS, "billed", "service_tier", "http_status", "latency_ms", "max_output_tokens")
"""What the ledger needs, whatever becomes of the answer."""


@dataclass(frozen=True, slots=True)
class Report:
    """One claim's outcome, encoded once. `facts` is what a bare report keeps; the payload is in `encoded` alone."""

    id: UUID
    claim_seq: int
    claimed_at: datetime
    facts: Mapping[str, Any] = field(repr=False)
    encoded: bytes = field(repr=False)
    is_bare: bool = False

    def bare(self, reason: str) -> Report:
        """The same call without its payload, for an answer that Postgres refuses to store; its bill is kept."""
        return _bare(self.id, self.claim_seq, self.claimed_at, self.facts, reason)


def report(
    id: UUID, claim_seq: int, claimed_at: datetime, facts: Mapping[str, Any], *, is_bare: bool = False
) -> Report:
    """Build a report that Postgres can store, whatever the facts hold (see `outcome_fields`); None values are left out.

    Never raises: what cannot be encoded leaves a bare report.
    """
    body = fitted(facts)
    booked = {name: body[name] for name in _BOOKED if name in body}
    try:
        encoded = encode({"id": id, "claim_seq": claim_seq, "claimed_at": claimed_at, **body})
    except (ValueError, TypeError, RecursionError) as error:
        return _bare(id, claim_seq, claimed_at, booked, f"it is no JSON ({type(error).__name__})")
    return Report(id, claim_seq, claimed_at, booked, encoded, is_bare)


def _bare(id: UUID, claim_seq: int, claimed_at: datetime, booked: Mapping[str, Any], reason: str) -> Report:
    message = f"the answer could not be stored: {reason}"[:500]
    facts = {**booked, "outcome": ErrorCode.INTERNAL, "error_message": message}
    return report(id, claim_seq, claimed_at, facts, is_bare=True)


def answer_facts(answer: Answer, latency_ms: int | None) -> dict[str, Any]:
    """What the provider's answer itself says: bill, identifiers, text."""
    usage = answer.usage
    counts = {name: getattr(usage, name) for name in TOKENS} if isinstance(usage, Usage) else {}
    return {
        **counts,
        "billed": answer.billed
        if usage is not None or answer.billed is not Billed.BY_USAGE
        else Billed.UPPER_BOUND,
        "response": answer.text,
        "http_status": answer.http_status,
        "finish_reason": answer.finish_reason,
        "provider_model": answer.model,
        "provider_request_id": answer.provider_request_id,
        "service_tier": answer.service_tier,
        "latency_ms": latency_ms,
        "rate": _rate(answer.rate_headers),
    }


def _rate(seen: Mapping[str, RateHeaders] | None) -> dict[str, dict[str, int]] | None:
    """As `llmreq_heed_headers` reads it: only what came with both figures, and a limit of 0 is none."""
    rate = {
        resource: {"limit": each.limit, "remaining": each.remaining}
        for resource, each in (seen or {}).items()
        if each.limit and each.remaining is not None
    }
    return rate or None


def failure_facts(failure: Failure) -> dict[str, Any]:
    """A failure in the one error shape."""
    return {
        "outcome": failure.code,
        "error_message": failure.message,
        "error_details": dict(failure.details) or None,
        "retry_after_seconds": failure.retry_after_seconds,
    }


def elapsed_ms(started: float) -> int:
    """Milliseconds since `started` on the monotonic clock, as a call's `latency_ms`."""
    return round((time.monotonic() - started) * 1000)
