"""The closed list of error codes and the few exceptions llmreq raises.

A code means the same in a row (`llm_requests.error_code`), in the ledger, on the command line and in Python.
What happens after each code (retry, fall back, open a breaker) is decided in SQL: `sql/functions/error_rules.sql`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Why a request or one attempt did not succeed."""

    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_TIMEOUT = "provider_timeout"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    AUTHENTICATION = "authentication"
    INVALID_REQUEST = "invalid_request"
    CONTEXT_OVERFLOW = "context_overflow"
    REFUSED = "refused"
    CONTENT_FILTERED = "content_filtered"
    TRUNCATED = "truncated"
    EMPTY_RESPONSE = "empty_response"
    MALFORMED_JSON = "malformed_json"
    SCHEMA_MISMATCH = "schema_mismatch"
    INVALID_SCHEMA = "invalid_schema"
    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_AGENT = "unknown_agent"
    UNPRICED = "unpriced"
    BUDGET_EXCEEDED = "budget_exceeded"
    UNBOUNDED_COST = "unbounded_cost"
    EXPIRED = "expired"
    POISONED = "poisoned"
    PARTIAL_FAILURE = "partial_failure"
    INTERNAL = "internal"


class LlmreqError(Exception):
    """Base of every error llmreq raises on purpose: one line that says what is wrong and what to do."""

    code: ErrorCode = ErrorCode.INTERNAL

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})


class InvalidRequestError(LlmreqError):
    """What the producer asked for cannot be sent as it is; nothing was spent."""

    code = ErrorCode.INVALID_REQUEST


class InvalidSchemaError(LlmreqError):
    """A response or tool schema is no usable JSON Schema; found before any call is made."""

    code = ErrorCode.INVALID_SCHEMA


class SettingsError(LlmreqError):
    """The environment or the configuration file is wrong."""


class DatabaseUnavailableError(LlmreqError):
    """Postgres cannot be reached, or the schema is not the one this version needs."""


class RequestFailedError(LlmreqError):
    """A request that was waited for ended `failed` or `cancelled`; `code` is the row's `error_code`.

    Or its answer is not the type it was to be read as: `code` is `schema_mismatch`, `details` list the faults.
    """

    def __init__(self, message: str, *, code: ErrorCode, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, details=details)
        self.code = code
