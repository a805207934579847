"""Which fault to play for a request. Pure.

A user message says it: `[[sim:http_500]]`, with settings `[[sim:http_429,retry_after=2]]`, or as a script over the calls of one
conversation `[[sim:script=broken_json|ok]]`: the first call gets the first, the last one stays. Random faults come from the
configuration: `{"http_500": 0.01}`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

_MARKER = re.compile(r"\[\[sim:([^\]]+)\]\]")

FAULTS = frozenset({
    "ok", "broken_json", "fenced_json", "prose_json", "wrong_schema", "truncated", "refusal", "content_filter", "empty",
    "http_400", "http_401", "http_403", "http_404", "http_429", "quota", "http_500", "http_502_html", "http_503", "http_529",
    "context_overflow", "hang", "slow", "cut", "reset", "cached", "non_json_200", "huge", "null_byte",
    "lone_surrogate", "pathological", "text",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault's name and settings; `ok` is none."""

    name: str = "ok"
    settings: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str, default: float) -> float:
        """A numeric setting."""
        return float(self.settings.get(name, default))


def marker(texts: Sequence[str]) -> str | None:
    """The first marker in these texts."""
    for text in texts:
        found = _MARKER.search(text)
        if found:
            return found.group(1)
    return None


def fault_of(marked: str, nth_call: int) -> Fault:
    """The fault a marker means for the nth call (from 0) of its conversation. Raises ValueError for an unknown one."""
    if marked.startswith("script="):
        steps = marked.removeprefix("script=").split("|")
        marked = steps[min(nth_call, len(steps) - 1)]
    name, *pairs = marked.split(",")
    settings = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if name.startswith("text="):
        name, settings["text"] = "text", unquote(name.removeprefix("text="))
    if name not in FAULTS:
        raise ValueError(f"unknown fault {name!r}")
    return Fault(name, settings)


def random_fault(rates: Mapping[str, Any], chance: random.Random) -> Fault:
    """A fault by the configured rates."""
    draw = chance.random()
    for name, rate in rates.items():
        draw -= float(rate)
        if draw < 0:
            return Fault(name)
    return Fault()
