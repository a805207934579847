"""Peel what models wrap around JSON – a Markdown fence, a BOM, a sentence – and record every peel.

Nothing is dropped or invented: what is peeled is never JSON, and between two values nobody chooses.
Time is linear in the text: at most `MAX_PEEL_STARTS` brackets are tried.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from llmreq.check.decode import decode, storable_text
from llmreq.limits import MAX_PEEL_STARTS, RESPONSE_PREVIEW_CHARS

BOM = "\ufeff"
_SPACE = " \t\r\n"  # what JSON itself allows around a value; anything else peeled is recorded
_FENCE_OPEN = re.compile(r"```[A-Za-z0-9_+.-]*[ \t]*(?:\r?\n|(?=[\[{]))")
_BRACKET = re.compile(r"[\[{]")
# "[sic]"-like notes and "{name}"-like placeholders: nothing in them that an object or a list is built of.
_PROSE_BRACKETS = re.compile(r"""\[[^\[\]{}"]{0,200}\]|\{[^\[\]{}":]{0,200}\}""")
_READER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Peeled:
    """`text` is what remains, `offset` where it began in the answer; `repairs` tells what was taken off."""

    text: str
    repairs: tuple[dict[str, Any], ...] = ()
    offset: int = 0


def peel(text: str) -> Peeled:
    """The one JSON value of an answer without its wrapping, or the answer as it was.

    A text that is JSON already comes back unchanged. Fence first, then prose around exactly one container.
    """
    if decode(text).error is None:
        return Peeled(text)
    inner = peel_fence(text)
    if decode(inner.text).error is None:
        return inner
    return _peel_prose(inner) or inner


def peel_fence(text: str) -> Peeled:
    """Without BOM, white space and a fence around the whole; the fence only if it holds JSON-like text."""
    bare = _peel_bom(text)
    opening = _FENCE_OPEN.match(bare.text)
    if opening is None or not bare.text.endswith("```") or len(bare.text) < opening.end() + 3:
        return bare
    content = bare.text[opening.end() : -3]
    inner = content.strip(_SPACE)
    if not (inner.startswith(("{", "[")) or decode(inner).error is None):
        return bare
    start = opening.end() + len(content) - len(content.lstrip(_SPACE))
    record = {"type": "fence", "before": _clip(opening.group()), "after": "```"}
    return Peeled(inner, (*bare.repairs, record), bare.offset + start)


def _peel_bom(text: str) -> Peeled:
    bare = text.lstrip(_SPACE)
    repairs: tuple[dict[str, Any], ...] = ()
    if bare.startswith(BOM):
        repairs = ({"type": "bom", "before": BOM, "after": ""},)
        bare = bare[1:].lstrip(_SPACE)
    return Peeled(bare.rstrip(_SPACE), repairs, len(text) - len(bare))


def _peel_prose(outer: Peeled) -> Peeled | None:
    span = _only_value(outer.text)
    if span is None or span == (0, len(outer.text)):
        return None  # nothing stands around it: what it broke is a finer rule, as a lone surrogate does
    start, end = span
    before, after = outer.text[:start], outer.text[end:]
    record = {"type": "surrounding_text", "before": _clip(before), "after": _clip(after)}
    return Peeled(outer.text[start:end], (*outer.repairs, record), outer.offset + start)


def _only_value(text: str) -> tuple[int, int] | None:
    """Where the one object or array of a text stands; None when there is none, a second or a broken one."""
    found: tuple[int, int] | None = None
    position = 0
    for _ in range(MAX_PEEL_STARTS):
        bracket = _BRACKET.search(text, position)
        if bracket is None:
            return found
        end = _value_end(text, bracket.start())
        if end is not None:
            if found is not None:
                return None
            found = (bracket.start(), end)
        else:
            # Something JSON-like that does not parse: what stands inside it is a part, never the answer.
            note = _PROSE_BRACKETS.match(text, bracket.start())
            if note is None:
                return None
            end = note.end()
        position = end
    return None


def _value_end(text: str, start: int) -> int | None:
    try:
        return _READER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None


def _clip(text: str) -> str:
    return storable_text(text[:RESPONSE_PREVIEW_CHARS])[0]
