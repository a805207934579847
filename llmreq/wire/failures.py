"""HTTP errors of all vendors as one Failure.

By status, then by the body's type and code; by text only where nothing else tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from llmreq.errors import ErrorCode
from llmreq.limits import MAX_ERROR_BODY_CHARS
from llmreq.wire.outcome import Answer, Billed, Failure, HttpResponse
from llmreq.wire.provider import Provider
from llmreq.wire.rate_headers import retry_after_seconds
from llmreq.wire.redact import redact

# OpenAI 429 types and codes, and Anthropic error codes, that mean: no money, not: too fast.
_OUT_OF_MONEY = {
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "spend_limit_reached",
    "billing_error",
}
_TOO_LONG_CODES = {"context_length_exceeded", "exceed_context_size_error", "request_too_large"}
# Neither vendor has a code for these in every case.
_TOO_LONG_TEXTS = (
    "prompt is too long",
    "maximum context length",
    "context window",
    "exceeds the available context size",
)
# OpenAI answers 429 to a request that alone is more than a minute's tokens: it would be refused for ever.
_NEVER_FITS_TEXT = "request too large"
_SPEND_TEXTS = ("usage limit", "spend limit", "spending limit", "credit balance is too low")
_FILTER_CODES = {"content_filter", "content_policy_violation"}

_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")

# How much of an error is looked at: an answer may be 32 MB, and redaction is a search.
_READ_CHARS = 16 * MAX_ERROR_BODY_CHARS
_SHORT_CHARS = 200

_BY_STATUS = {
    401: ErrorCode.AUTHENTICATION,
    402: ErrorCode.QUOTA_EXHAUSTED,
    403: ErrorCode.AUTHENTICATION,
    404: ErrorCode.UNKNOWN_MODEL,
    408: ErrorCode.PROVIDER_UNAVAILABLE,
    409: ErrorCode.PROVIDER_UNAVAILABLE,
    413: ErrorCode.CONTEXT_OVERFLOW,
    429: ErrorCode.RATE_LIMITED,
    504: ErrorCode.PROVIDER_TIMEOUT,
}


def http_failure(provider: Provider, response: HttpResponse, now: float) -> Answer:
    """The answer that an HTTP status other than 2xx is."""
    body = _body(response.body)
    error = _error_object(body)
    words = {_word(error.get(key)) for key in ("type", "code", "error_code")}
    details_in = error.get("details")
    if isinstance(details_in, Mapping):
        words.add(_word(details_in.get("error_code")))
    whole = _message(error, response.body)
    code = _code(response.status, words, whole[:_READ_CHARS].lower())
    said = _shown(whole, provider, MAX_ERROR_BODY_CHARS)
    details = {
        "http_status": response.status,
        "type": _short(error.get("type"), provider),
        "code": _short(error.get("code"), provider),
        "param": _short(error.get("param"), provider),
        "body": None if error else said,
    }
    return Answer(
        billed=Billed.UPPER_BOUND if response.status == 504 else Billed.NOT_BILLED,
        http_status=response.status,
        provider_request_id=request_id(response),
        failure=Failure(
            code,
            f"{provider.name} answered {response.status}: {said}"
            if said
            else f"{provider.name} answered {response.status}",
            {name: value for name, value in details.items() if value is not None},
            retry_after_seconds(response.headers, now),
        ),
    )


def unreadable(provider: Provider, response: HttpResponse) -> Answer:
    """A 200 whose body is not the vendor's JSON: a proxy's page or a wrong base URL; perhaps paid for."""
    said = _shown(_raw_body(response.body), provider, MAX_ERROR_BODY_CHARS)
    return Answer(
        billed=Billed.UPPER_BOUND,
        http_status=response.status,
        provider_request_id=request_id(response),
        failure=Failure(
            ErrorCode.PROVIDER_UNAVAILABLE,
            f"{provider.name} answered {response.status} with something that is not its JSON: check its base URL",
            {"http_status": response.status, "body": said},
        ),
    )


def request_id(response: HttpResponse) -> str | None:
    """The vendor's id for this call, which its support asks for."""
    return response.headers.get("request-id") or response.headers.get("x-request-id")


def decoded(response: HttpResponse) -> Mapping[str, Any] | None:
    """A 200's body, if it is a JSON object."""
    body = _body(response.body)
    return body if isinstance(body, dict) else None


def _code(status: int, words: set[str], said: str) -> ErrorCode:
    if words & _OUT_OF_MONEY:
        return ErrorCode.QUOTA_EXHAUSTED
    if words & _FILTER_CODES:
        return ErrorCode.CONTENT_FILTERED
    if status in (400, 413, 422) and (
        words & _TOO_LONG_CODES or any(text in said for text in _TOO_LONG_TEXTS)
    ):
        return ErrorCode.CONTEXT_OVERFLOW
    if status == 429 and _NEVER_FITS_TEXT in said:
        return ErrorCode.CONTEXT_OVERFLOW
    if status == 400 and any(text in said for text in _SPEND_TEXTS):
        return ErrorCode.QUOTA_EXHAUSTED
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ErrorCode.PROVIDER_UNAVAILABLE if status >= 500 or status < 400 else ErrorCode.INVALID_REQUEST


def quoted(text: str, chars: int) -> str:
    """The beginning of a provider's words, without the one character that Postgres cannot store."""
    return text[:chars].replace("\x00", "\ufffd")


def raw_text(value: Any) -> str:
    """A part of an answer that is not what it should be, as JSON text; empty where it nests past the encoder."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return ""


def _raw_body(body: bytes) -> str:
    """The beginning of a body that is not the vendor's JSON."""
    return body[:_READ_CHARS].decode("utf-8", "replace")


def _body(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    if _HALF_PAIR.search(body) is None:
        return None
    try:
        return json.loads(body)  # an answer that was cut in the middle of an emoji is paid for like any other
    except (ValueError, RecursionError):
        return None


def _error_object(body: Any) -> Mapping[str, Any]:
    """The part that names the error: {"error": {…}}, a list of one, a text, or the body itself."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, Mapping):
        return {}
    error = body.get("error", body)
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, Mapping) else {}


def _message(error: Mapping[str, Any], raw: bytes) -> str:
    said = error.get("message") or error.get("detail")
    if isinstance(said, list | dict):
        said = raw_text(said)
    return " ".join((said if isinstance(said, str) else _raw_body(raw)).split())


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _short(value: Any, provider: Provider) -> str | None:
    if value is None:
        return None
    return _shown(value if isinstance(value, str) else raw_text(value), provider, _SHORT_CHARS)


def _shown(text: str, provider: Provider, chars: int) -> str:
    """What of a provider's words may be kept: redacted before it is cut, for half a key is no longer recognized."""
    return quoted(redact(text[:_READ_CHARS], provider.api_key), chars)
