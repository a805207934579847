"""The values that travel between a claimed row, a provider's wire format and the settler.

Pure: frozen dataclasses only; what a producer or a model wrote is in none of their reprs. One `Call` becomes one
`HttpRequest`; one `HttpResponse` becomes one `Answer`
(invariant 1: one claim, one call, one attempt).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from llmreq.errors import ErrorCode
from llmreq.limits import MAX_TOKEN_COUNT


class Billed(StrEnum):
    """What is known about the provider's bill for one call."""

    BY_USAGE = "usage"
    """The answer carries token counts: the ledger books these."""
    NOT_BILLED = "none"
    """The provider does not charge (refused connection, 429, 4xx)."""
    UPPER_BOUND = "upper_bound"
    """Nobody will ever know (read time-out, cut connection, lost worker): the ledger books the most it can be."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts in disjoint input buckets; `reasoning_tokens` is a part of `output_tokens`.

    Total prompt = input + cache_read + cache_write_5m + cache_write_1h. All counts are >= 0.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


def named_tier(given: Any) -> str | None:
    """The service tier an answer says it got, as the vendor calls it; it decides the price."""
    tier = given.get("service_tier") if isinstance(given, dict) else None
    return tier[:40] if isinstance(tier, str) else None


def counted(given: Any, name: str) -> int | None:
    """A token count of a provider's usage object, or None for what is no count."""
    value = given.get(name) if isinstance(given, dict) else None
    return value if type(value) is int and 0 <= value <= MAX_TOKEN_COUNT else None


def counted_part(given: Any, name: str) -> int | None:
    """A count that may be absent, which is 0; None for one that is there and is no count: then nobody knows the bill."""
    value = given.get(name) if isinstance(given, dict) else None
    if value is None:
        return 0
    return value if type(value) is int and 0 <= value <= MAX_TOKEN_COUNT else None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call in the contract's one shape. `params` is the decoded argument object.

    `raw` is set, and `params` is None, when the provider's argument text was no JSON object.
    """

    id: str = field(repr=False)
    tool_name: str = field(repr=False)
    params: dict[str, Any] | None = field(repr=False)
    raw: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """What one claimed row asks of a provider, independent of any wire format.

    `messages`: `[{"role": system|developer|user|assistant|tool, "content": str | list, ...}]`.
    An assistant turn may carry `tool_calls: [{"id","tool_name","params"}]`;
    a tool turn is `{"role":"tool","tool_call_id":…,"content":…}`.
    `params`: temperature, top_p, stop, seed, reasoning_effort, … in their common names.
    """

    model: str
    messages: Sequence[Mapping[str, Any]] = field(repr=False)
    max_output_tokens: int
    response_schema: Mapping[str, Any] | bool | None = field(default=None, repr=False)
    tools: Sequence[Mapping[str, Any]] | None = field(default=None, repr=False)
    tool_choice: Any = field(default=None, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST to send. `headers` holds the key: never log or print one."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response; header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """One error in the one shape: code, message, details; and what the provider said about trying again."""

    code: ErrorCode
    message: str = field(repr=False)
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's answer, or its failure, before it is checked against the row's schema.

    `text` is the concatenated visible text, None when there is none. `failure` is set for every HTTP error,
    refusal, filter, truncation and empty answer; `text` and `usage` are kept beside it when the provider sent them.
    """

    text: str | None = field(default=None, repr=False)
    tool_calls: tuple[ToolCall, ...] = field(default=(), repr=False)
    usage: Usage | None = None
    billed: Billed = Billed.BY_USAGE
    finish_reason: str | None = None
    model: str | None = None
    provider_request_id: str | None = None
    service_tier: str | None = None
    http_status: int | None = None
    failure: Failure | None = None
    rate_headers: Mapping[str, Any] | None = None
