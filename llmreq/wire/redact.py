"""Keeps keys out of every message: what a provider says back may repeat the one it was sent."""

from __future__ import annotations

import re

_LOOKS_SECRET = re.compile(
    r"(?i)\b(?:sk|pk|al|gsk|xai)-[\w*.-]{6,}|\bbearer\s+[\w.~+/=-]{6,}|\bAIza[\w-]{10,}"
)


def redact(text: str, *secrets: str | None) -> str:
    """The text without these secrets and without anything that looks like a key."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[key]")
    return _LOOKS_SECRET.sub("[key]", text)
