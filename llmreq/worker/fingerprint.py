"""What tells one row's schemas and tools from another's, so that each is judged once. Pure."""

from __future__ import annotations

import hashlib
import json

import orjson

from llmreq.errors import InvalidSchemaError
from llmreq.limits import MAX_SCHEMA_BYTES
from llmreq.worker.engine import Claim
from llmreq.worker.large_json import LargeJson

_MOST_BYTES = 4 * MAX_SCHEMA_BYTES


def fingerprint(claim: Claim) -> tuple[bytes, bytes | None]:
    """A hash of schema and tools, and their JSON; None for the JSON where one of them is left encoded, as it is large.

    Raises InvalidSchemaError for what is no JSON, nests too deep, or is far too large.
    """
    if isinstance(claim.response_schema, LargeJson) or isinstance(claim.tools, LargeJson):
        parts = [_raw(claim.response_schema), _raw(claim.tools)]
        if sum(map(len, parts)) > _MOST_BYTES:
            raise InvalidSchemaError(f"schema and tools have more than {_MOST_BYTES:,} bytes")
        return _hash(b"\0".join(parts)), None
    canonical = _json([claim.response_schema, claim.tools])
    # What is to be called text, and what is not, is a part of the demand.
    return _hash(canonical + (b"t" if claim.allow_text else b"")), canonical


def _raw(value: object) -> bytes:
    return value.raw if isinstance(value, LargeJson) else _json(value)


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits, or many levels
        pass
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidSchemaError("the schema is not plain JSON, or nested too deep") from None


def _hash(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()
