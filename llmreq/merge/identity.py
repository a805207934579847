"""When two values are the same: as whole JSON values, or by the key that a list declares.

Both give a text to look up in a dict, so ten thousand items are compared by hashing and not with one another.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any

_dump = json.JSONEncoder(sort_keys=True).encode


def identity(value: Any) -> str:
    """Canonical JSON: the same text for values that JSON Schema calls equal, and only for those.

    Order of properties is nothing, 1 is 1.0 but neither is true, "a" is not "A".
    """
    text = _dump(value)
    if (
        ".0" in text or "e+" in text
    ):  # perhaps a whole number written as a float; a mere look-alike costs only time
        text = _dump(json.loads(text, parse_float=_as_whole))
    return text


def key_of(item: Any, names: Sequence[str]) -> str | None:
    """An item's key, or None when it has not got all of it (no object, a part absent, null or blank).

    Strings are compared without regard to case, Unicode composition and amount of white space; everything else as by `identity`.
    """
    if not isinstance(item, dict):
        return None
    parts = []
    for name in names:
        part = item.get(name)
        if isinstance(part, str):
            part = spoken(part)
        if part is None or part == "":
            return None
        parts.append(part)
    return identity(parts)


def spoken(text: str) -> str:
    """A string as keys compare it: "  ACME\\tLtd" is "acme ltd"."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def _as_whole(written: str) -> int | float:
    number = float(written)
    return int(number) if number.is_integer() else number
