"""What each field of an outcome may hold: whatever comes from outside is made storable and bounded here, and only here. Pure.

Names, messages and counts of a provider come in any length and with any character; Postgres refuses U+0000, lone surrogates, NaN
and what leaves its column's range, and one refused outcome would hold up its batch (invariant 11).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import orjson

from llmreq.check.decode import storable_json
from llmreq.errors import ErrorCode
from llmreq.limits import (
    MAX_DETAILS_BYTES,
    MAX_IDENTIFIER_CHARS,
    MAX_MESSAGE_CHARS,
    MAX_RECORD_TEXT_CHARS,
    MAX_RECORDS_BYTES,
    MAX_RETRY_AFTER_SECONDS,
    MAX_TOKEN_COUNT,
)
from llmreq.wire.outcome import Billed
from llmreq.wire.rate_headers import RESOURCES

TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)

_COUNTS = frozenset(TOKENS)
_TOTALS = {"input_tokens", "output_tokens"}
_PLAIN_TEXTS = {
    **dict.fromkeys(
        ("outcome", "finish_reason", "provider_model", "provider_request_id", "service_tier", "step"),
        MAX_IDENTIFIER_CHARS,
    ),
    "response": sys.maxsize,
}
_LARGEST_INTEGER = 2**31 - 1
_STATUSES = range(100, 1000)
_LARGEST_RATE = 10**12
_BILLED = {each.value: each for each in Billed}
_NUL = b"\\u0000"


def fitted(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as `llmreq_finish` takes them, without those that are None or hold what their field cannot."""
    fit: dict[str, Any] = {}
    is_sound = True
    for name, value in facts.items():
        if value is None:
            continue
        # Nearly every value is a short text or a count, and told to be fine at once.
        if value.__class__ is str:
            if len(value) <= _PLAIN_TEXTS.get(name, -1):
                fit[name] = value
                continue
        elif value.__class__ is int and name in _COUNTS and 0 <= value <= MAX_TOKEN_COUNT:
            fit[name] = value
            continue
        if (kept := FIELDS.get(name, _details)(value)) is not None:
            fit[name] = kept
        elif name in _COUNTS:
            is_sound = False
    # A count that is none, or a bill by usage without its totals: then nobody knows the bill (invariant 3).
    if not is_sound or (fit.get("billed") is Billed.BY_USAGE and not fit.keys() >= _TOTALS):
        for name in TOKENS:
            fit.pop(name, None)
        fit["billed"] = Billed.UPPER_BOUND
    fit.setdefault("outcome", ErrorCode.INTERNAL)
    fit.setdefault("billed", Billed.UPPER_BOUND)
    return fit


def encode(value: Any) -> bytes:
    """JSON in UTF-8 as Postgres stores it: U+0000 and lone surrogates as U+FFFD, NaN and Infinity as null, integers exact.

    Raises ValueError, RecursionError or TypeError for what is no JSON, or nests past the encoder.
    """
    try:
        encoded = orjson.dumps(value)
    except (TypeError, ValueError):  # integers beyond 64 bits, lone surrogates, more than 254 levels
        pass
    else:
        if _NUL not in encoded:
            return encoded
    return json.dumps(storable_json(value)[0], default=str, ensure_ascii=False, allow_nan=False).encode()


def is_count(value: Any) -> bool:
    """Whether this is a number of tokens."""
    return type(value) is int and 0 <= value <= MAX_TOKEN_COUNT


def _billed(value: Any) -> Billed:
    return _BILLED.get(value, Billed.UPPER_BOUND) if isinstance(value, str) else Billed.UPPER_BOUND


def _count(value: Any) -> int | None:
    return value if is_count(value) else None


def _identifier(value: Any) -> str | None:
    return value[:MAX_IDENTIFIER_CHARS] if isinstance(value, str) else None


def _message(value: Any) -> str | None:
    """One line."""
    return " ".join(value[:MAX_MESSAGE_CHARS].split()) if isinstance(value, str) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole_answer(value: Any) -> Any:
    """Bounded by the answer it came in (MAX_ANSWER_BYTES), and checked when that was read."""
    return value


def _status(value: Any) -> int | None:
    return value if type(value) is int and value in _STATUSES else None


def _milliseconds(value: Any) -> int | None:
    return min(max(value, 0), _LARGEST_INTEGER) if type(value) is int else None


def _cap(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= _LARGEST_INTEGER else None


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        return None
    return min(max(float(value), 0.0), MAX_RETRY_AFTER_SECONDS)


def _rate(value: Any) -> dict[str, dict[str, int]] | None:
    """Only what `llmreq_heed_headers` can read."""
    if not isinstance(value, dict):
        return None
    return {
        name: {"limit": limit, "remaining": remaining}
        for name in RESOURCES
        if isinstance(seen := value.get(name), dict)
        and type(limit := seen.get("limit")) is int
        and type(remaining := seen.get("remaining")) is int
        and 0 <= limit <= _LARGEST_RATE
        and 0 <= remaining <= _LARGEST_RATE
    } or None


def _is_finite(value: int | float) -> bool:
    return value.bit_length() < 64 if isinstance(value, int) else isfinite(value)


def _details(value: Any) -> Any:
    """The value, or the beginning of its JSON where it is too large."""
    size = _encoded_size(value)
    if size is not None and size <= MAX_DETAILS_BYTES:
        return value
    return {"left_out": "too large or too deep to be kept", "bytes": size}


def _records(value: Any) -> list[Any] | None:
    """As many error records as fit, each with texts of bounded length; a last one counts the rest."""
    if not isinstance(value, list | tuple):
        return None
    kept: list[Any] = []
    room = MAX_RECORDS_BYTES
    for record in value:
        short = _short(record)
        room -= _encoded_size(short) or MAX_RECORDS_BYTES
        if room < 0:
            break
        kept.append(short)
    if more := len(value) - len(kept):
        message = f"{more} more errors are not listed"
        kept.append(
            {"type": "schema_error", "field": "$", "message": message, "rule": "too_many_errors", "schema_path": ""}
        )  # fmt: skip
    return kept


def _short(record: Any) -> Any:
    if not isinstance(record, Mapping):
        return None
    return {
        name: value[:MAX_RECORD_TEXT_CHARS] if isinstance(value, str) else value
        for name, value in record.items()
    }


def _encoded_size(value: Any) -> int | None:
    """None where it cannot be encoded."""
    try:
        return len(encode(value))
    except (ValueError, TypeError, RecursionError):
        return None


FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "outcome": _identifier,
    "billed": _billed,
    **dict.fromkeys(TOKENS, _count),
    "max_output_tokens": _cap,
    "http_status": _status,
    "latency_ms": _milliseconds,
    "retry_after_seconds": _seconds,
    "finish_reason": _identifier,
    "provider_model": _identifier,
    "provider_request_id": _identifier,
    "service_tier": _identifier,
    "step": _identifier,
    "error_message": _message,
    "error_details": _details,
    "repairs": _details,
    "rate": _rate,
    "validation_errors": _records,
    "response": _text,
    "parsed_response": _whole_answer,
    "pages": _whole_answer,
    "merge_report": _whole_answer,
}
"""Every field of `llmreq_outcome` but the claim's three names; any other name gets the bound of details."""
