"""The blocks of a text as Markdown sees them: paragraphs, lists, tables, headings with what follows, fenced code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_FENCE = re.compile(r"[ \t]*+(?:(`{3,}+)[^`\n]*+(?=\n|\Z)|(~{3,}+)[^\n]*+)")
_BLANK = re.compile(r"(?:[ \t]*+\r?\n)*")
_BREAK = re.compile(r"\n(?:(?:[ \t]*+\r?\n)+|(?=#{1,6}[ \t])|(?=[ \t]*+(?:```|~~~)))")
_ITEM = re.compile(r"[ \t]*+(?:[-*+•]|\d{1,9}[.)])[ \t]")
_CONTINUED = re.compile(r"[ ]{2}|\t")
_SETEXT = re.compile(r"[^\n]+\n(?:=+|-+)[ \t\r]*")
_TITLE_AT_MOST = 500


@dataclass(slots=True)
class Spans:
    """Neighbouring spans: where each starts (and, last, where the text ends), and where its content ends but for blank lines."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Layout:
    """`blocks`, and `parts`: the same, cut once more around fences inside a list. `fences` are starts of parts."""

    blocks: Spans = field(default_factory=Spans)
    parts: Spans = field(default_factory=Spans)
    fences: set[int] = field(default_factory=set)


def lay_out(text: str) -> Layout:
    """The blocks of the text, together all of it. A fence that nothing closes reaches to the end."""
    layout = Layout()
    at = 0
    while at < len(text):
        layout.blocks.starts.append(at)
        end, at = _block(text, at, layout)
        layout.blocks.ends.append(end)
    layout.blocks.starts.append(len(text))
    layout.parts.starts.append(len(text))
    return layout


def is_heading(text: str, start: int, end: int) -> bool:
    """Whether a block is a title and nothing else."""
    if end - start > _TITLE_AT_MOST:
        return False
    if text.startswith("#", start):
        return text.find("\n", start, end) < 0
    return _SETEXT.fullmatch(text, start, end) is not None


def is_prose(text: str, start: int) -> bool:
    """Whether a block begins as neither a list nor a table."""
    return not text.startswith("|", start) and _ITEM.match(text, start) is None


def _block(text: str, start: int, layout: Layout) -> tuple[int, int]:
    """The block from `start` on: where its content ends, where the next begins. Notes its parts."""
    begin = at = start
    is_list = _ITEM.match(text, start) is not None
    while True:
        fence = _FENCE.match(text, at)
        if fence is not None:
            if at > begin:
                _note(layout, begin, at)
            end, begin = _behind_fence(text, fence)
            layout.fences.add(at)
            _note(layout, at, end)
            at = begin
            if not (is_list and _goes_on(text, at)):
                return end, at
            continue
        found = _BREAK.search(text, at)
        if found is None:
            _note(layout, begin, len(text))
            return len(text), len(text)
        at = found.end()
        if not (is_list and _goes_on(text, at)):
            end = found.start() - text.startswith("\r", found.start() - 1)
            _note(layout, begin, end)
            return end, at


def _note(layout: Layout, start: int, end: int) -> None:
    layout.parts.starts.append(start)
    layout.parts.ends.append(end)


def _goes_on(text: str, at: int) -> bool:
    """Whether a list does, behind a blank line or a fence."""
    return _ITEM.match(text, at) is not None or _CONTINUED.match(text, at) is not None


def _behind_fence(text: str, fence: re.Match[str]) -> tuple[int, int]:
    """The end of the closing line, and of the blank lines behind it."""
    marks = fence.group(1) or fence.group(2)
    closing = re.compile(rf"\n[ \t]*+{re.escape(marks)}{re.escape(marks[0])}*+[ \t]*+(?=\r?\n|\Z)")
    found = closing.search(text, fence.end())
    if found is None:
        return len(text), len(text)
    blank = _BLANK.match(text, found.end())
    assert blank is not None, "it may be empty"
    return found.end(), blank.end()
