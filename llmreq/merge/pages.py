"""What one page of a long document came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PageResult:
    """The answer to text[start:end] of the document (characters); `page` orders the results.

    `value` is the parsed answer, None for plain text; `text` the answer as written; `tokens` the size of the page, which
    is its weight in an average.
    """

    page: int
    start: int
    end: int
    value: Any
    text: str | None
    tokens: int

    @property
    def answer(self) -> Any:
        """The parsed answer, else the text, else None."""
        return self.text if self.value is None else self.value

    @property
    def place(self) -> dict[str, int]:
        """Where it stands, as provenance writes it."""
        return {"page": self.page, "start": self.start, "end": self.end}


def in_order(pages: Iterable[PageResult]) -> list[PageResult]:
    """By page, then by offset; whichever page was answered first does not matter."""
    return sorted(pages, key=lambda each: (each.page, each.start))


def plain_text(pages: Iterable[PageResult]) -> str | None:
    """The texts with a blank line between them, when no page has a parsed answer; else None."""
    texts: list[str] = []
    for each in pages:
        if each.value is not None:
            return None
        if each.text:
            texts.append(each.text)
    return "\n\n".join(texts) if texts else None
