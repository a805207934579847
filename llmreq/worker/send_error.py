"""Why there is no response to a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SendErrorKind = Literal["not_sent", "unknown", "timeout", "too_large"]


@dataclass
class SendError(Exception):
    """Why there is no response.

    `not_sent`: no byte of the request was written, so nothing was billed. `timeout`, `unknown` (cut on the way, or not
    HTTP within its bounds), `too_large`: the provider may have done the work. `message` is one line without URL, key
    or header.
    """

    kind: SendErrorKind
    message: str

    def __str__(self) -> str:
        return self.message


def cause(error: BaseException) -> str:
    """An error's own words in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
