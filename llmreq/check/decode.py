"""Strict JSON from a model's text, with the place of the first mistake; and values made fit for `jsonb`.

Strict means: no NaN or Infinity, no lone surrogates, bounded nesting, integers kept exactly (up to 10^308).
Duplicate keys are tolerated: the last one wins, as in `jsonb`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import isfinite
from typing import Any

import orjson

from llmreq.limits import MAX_JSON_DEPTH, MAX_JSON_VALUES, MAX_PRINTED_BYTES, RESPONSE_PREVIEW_CHARS

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_LARGE_EXPONENT = re.compile(r"[0-9][eE][+-]?[0-9]{2}")
_LONGEST_NUMBER = 330
_DIGITS_OF_64_BITS = 19
_ANY_DIGIT = bytes.maketrans(
    b"123456789", b"000000000"
)  # one search then finds a run: 13 times the speed of a regex
REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded value; or None and the one `json_decode_error` record that says why."""

    value: Any
    error: dict[str, Any] | None = None


class _RefusedError(ValueError):
    """Why a text that the fast parser took, or could not place, is refused; `position` in characters."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def decode(text: str, *, whole: str | None = None, offset: int = 0) -> Decoded:
    """Decode one JSON value.

    `whole` and `offset` say that `text` was cut out of a longer answer: place and preview then refer to it.
    """
    try:
        return Decoded(_load(text))
    except orjson.JSONDecodeError as error:
        message, position = error.msg, error.pos
    except _RefusedError as refusal:
        message, position = str(refusal), refusal.position
    return Decoded(None, decode_error(message, text if whole is None else whole, position + offset))


def decode_error(message: str, text: str, position: int, *, field: str | None = None) -> dict[str, Any]:
    """The contract's `json_decode_error`: `position` in characters from 0, `line` and `column` from 1."""
    return {
        "type": "json_decode_error",
        "field": field,
        "message": message,
        "position": position,
        "line": text.count("\n", 0, position) + 1,
        "column": position - text.rfind("\n", 0, position),
        "response_preview": storable_text(text[:RESPONSE_PREVIEW_CHARS])[0],
    }


def _load(text: str) -> Any:
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise _RefusedError("lone surrogate in the text", error.start) from None
    if len(encoded) > MAX_JSON_VALUES:
        _refuse_size(text)
    value = orjson.loads(encoded)
    if text.count("[") + text.count("{") > MAX_JSON_DEPTH and is_deep(value):
        _refuse_depth(text)
    # The fast parser turns integers above 64 bits into floats; the slow one keeps them. It is lenient,
    # but only sees texts that the strict one has taken.
    if b"0" * _DIGITS_OF_64_BITS in encoded.translate(_ANY_DIGIT):
        value = _load_exactly(text)
    return value


def _load_exactly(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:  # the caller's own stack left less than MAX_JSON_DEPTH
        raise _RefusedError("nested too deep to keep its large integers exact", 0) from None


def _refuse_size(text: str) -> None:
    """What Postgres could not read, or could not print in the row again (invariant 11)."""
    if text.count(",") + text.count("[") + text.count("{") > MAX_JSON_VALUES:
        raise _RefusedError(f"holds more than {MAX_JSON_VALUES:,} commas and brackets", 0)
    printed = len(text) + _LONGEST_NUMBER * sum(1 for _ in _LARGE_EXPONENT.finditer(text))
    if printed > MAX_PRINTED_BYTES:
        raise _RefusedError("holds too many numbers of hundreds of digits", 0)


def is_deep(value: Any) -> bool:
    """Whether a JSON value nests deeper than MAX_JSON_DEPTH."""
    try:
        orjson.dumps(value)  # refuses more than 254 levels, and is far faster than the walk
    except TypeError:
        return _nests(value)
    return False


def _nests(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _refuse_depth(text: str) -> None:
    depth = 0
    for token in _BRACKETS.finditer(text):
        if (mark := token.group()) in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise _RefusedError(f"nested deeper than {MAX_JSON_DEPTH} levels", token.start())
        elif mark in "]}":
            depth -= 1


def storable_text(text: str) -> tuple[str, bool]:
    """The text with U+0000 and lone surrogates as U+FFFD, which Postgres stores; and whether it changed."""
    clean = _UNSTORABLE.sub(REPLACEMENT, text)
    return clean, clean != text


def storable_json(value: Any) -> tuple[Any, int]:
    """The value with every string and key made storable (see `storable_text`); and how many were changed.

    Nothing is dropped: a key that would collide with another gets one more U+FFFD; NaN and Infinity become null. The argument is
    kept.
    """
    root = [value]
    changed = 0
    pending: list[Any] = [root]
    while pending:
        box = pending.pop()
        for slot, inner in list(box.items()) if isinstance(box, dict) else enumerate(box):
            if isinstance(inner, str):
                box[slot], differs = storable_text(inner)
                changed += differs
            elif isinstance(inner, dict):
                box[slot], renamed = _storable_keys(inner)
                changed += renamed
                pending.append(box[slot])
            elif isinstance(inner, list | tuple):
                box[slot] = list(inner)
                pending.append(box[slot])
            elif isinstance(inner, float) and not isfinite(inner):
                box[slot] = None
                changed += 1
    return root[0], changed


def _storable_keys(mapping: dict[str, Any]) -> tuple[dict[str, Any], int]:
    clean: dict[str, Any] = {}
    changed = 0
    for key, inner in mapping.items():
        name, differs = storable_text(key)
        while differs and (name in mapping or name in clean):
            name += REPLACEMENT
        clean[name] = inner
        changed += differs
    return clean, changed
