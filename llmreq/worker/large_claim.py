"""Claims with a large payload: told apart, packed for another process, and decoded there. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import orjson

from llmreq.errors import InvalidRequestError
from llmreq.limits import INLINE_CONTENT_CHARS
from llmreq.worker.engine import Claim
from llmreq.worker.large_json import LargeJson, LargeText

_LONG_INTEGER = re.compile(rb"[0-9]{19}")


def is_large(claim: Claim) -> bool:
    """Whether it takes a process beside to read this claim and make a request of it."""
    return (
        isinstance(claim.messages, LargeJson)
        or isinstance(claim.document, LargeJson)
        or isinstance(claim.response_schema, LargeJson)
        or isinstance(claim.tools, LargeJson)
        or isinstance(claim.params, LargeJson)
        or isinstance(claim.tool_choice, LargeJson)
        or isinstance(claim.last_errors, LargeJson)
        or (claim.content is not None and len(claim.content) > INLINE_CONTENT_CHARS)
    )


def payload_bytes(claim: Claim) -> int:
    """How much of a claim is known to be large; a character counts as one."""
    left = sum(len(value.raw) for value in claim if isinstance(value, LargeJson | LargeText))
    return left + len(claim.content or "")


def packed_claim(claim: Claim) -> Claim:
    """The claim with its JSON and its content as bytes, to be sent to another process: a pickle of what nests deep fails sooner.

    Raises InvalidRequestError.
    """
    changes: dict[str, Any] = {
        name: LargeJson(_encoded(name, value))
        for name, value in zip(claim._fields, claim, strict=True)
        if isinstance(value, dict | list)
    }
    if claim.content is not None and len(claim.content) > INLINE_CONTENT_CHARS:
        changes["content"] = cast(Any, LargeText(claim.content.encode("utf-8", "replace")))
    return claim._replace(**changes) if changes else claim


def decoded_claim(claim: Claim) -> Claim:
    """The claim with everything decoded. Raises InvalidRequestError, whose message names the column and repeats nothing of it."""
    changes = {
        name: _decoded(name, value)
        for name, value in zip(claim._fields, claim, strict=True)
        if isinstance(value, LargeJson | LargeText)
    }
    return claim._replace(**changes) if changes else claim


def _decoded(name: str, value: LargeJson | LargeText) -> Any:
    try:
        if isinstance(value, LargeText):
            return value.raw.decode()
        # The fast parser would make floats of integers beyond 64 bits.
        return json.loads(value.raw) if _LONG_INTEGER.search(value.raw) else orjson.loads(value.raw)
    except (ValueError, RecursionError):
        raise _without_end(name) from None


def _encoded(name: str, value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits, or many levels
        pass
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise _without_end(name) from None


def _without_end(name: str) -> InvalidRequestError:
    return InvalidRequestError(f"{name} cannot be read: it nests too deep or holds numbers without end")
