"""Splits a text into chunks of at most so many tokens, at the largest boundary that fits.

That is a block's end, else an item's, a sentence's, a clause's, a word's, a grapheme's. Every chunk is a verbatim slice, and
without overlap the slices are the whole text. The text is measured once; then each chunk's end is sought near where its budget
ends, so that the work grows with the text and not faster.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from llmreq.text.blocks import Spans, is_heading, is_prose, lay_out
from llmreq.text.graphemes import is_break, last_break, next_break
from llmreq.text.ruler import Ruler
from llmreq.text.sentences import sentence_ends
from llmreq.text.tokens import TokenEstimator
from llmreq.text.units import CODE, PROSE, Ends, line_ends, word_ends

_NEAR = (200, 1000)
"""Characters before the budget's end in which a boundary is sought first, and next."""
_BEHIND = 64
"""Characters looked at behind it, to see where white space ends."""
_FULL = 0.75
"""A chunk filled to this share is not filled up with a fragment."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """text[start:end] of the source, with its token count; `index` counts from 0."""

    index: int
    start: int
    end: int
    text: str
    tokens: int


def chunk_text(
    text: str, *, max_tokens: int, overlap_tokens: int = 0, estimator: TokenEstimator
) -> list[Chunk]:
    """Chunks of at most `max_tokens` by the estimator's count (a single grapheme may be larger).

    Each begins with up to `overlap_tokens` of the one before, in whole sentences or words; the overlap gives way to a block
    that fits only without it. Fences, lists, tables and paragraphs stay whole where they fit, and a heading stays with what
    follows it. Raises ValueError when the overlap leaves no room.
    """
    if max_tokens < 1 or not 0 <= overlap_tokens < max_tokens:
        raise ValueError("max_tokens must be at least 1, and overlap_tokens smaller than it")
    splitter = _Splitter(text, max_tokens, overlap_tokens, estimator)
    chunks: list[Chunk] = []
    begin = start = 0
    while start < len(text):
        if chunks and overlap_tokens:
            begin = splitter.reach_back(begin, start)
        begin, end, tokens = splitter.cut(begin, start)
        chunks.append(Chunk(len(chunks), begin, end, text[begin:end], tokens))
        begin, start = (begin, end) if overlap_tokens else (end, end)
    return chunks


class _Splitter:
    """One text's measure and layout, and what a chunk of it may hold."""

    def __init__(self, text: str, most: int, overlap: int, estimator: TokenEstimator) -> None:
        self._text = text
        self._most = most
        self._overlap = overlap
        self._ruler = Ruler(text, estimator)
        self._layout = lay_out(text)
        blocks, parts = self._layout.blocks, self._layout.parts
        self._levels = [blocks] if len(blocks.starts) == len(parts.starts) else [blocks, parts]

    def cut(self, begin: int, start: int) -> tuple[int, int, int]:
        """The chunk that repeats text[begin:start] and goes on: where it begins and ends, and its tokens."""
        if begin < start and not self._crowds_out(begin, start):
            found = self._fill(begin, start)
            if found is not None:
                return begin, *found
        found = self._fill(start, start)
        assert found is not None, "a chunk without overlap holds at least one grapheme"
        return start, *found

    def reach_back(self, earliest: int, start: int) -> int:
        """Where the overlap before `start` begins: with a whole sentence (in code: line) if one fits, else with a whole word."""
        low = max(earliest, self._ruler.reach_back(start, self._overlap))
        for ends in (line_ends if self._in_fence(start - 1) else sentence_ends, word_ends):
            candidates = [low] if low == earliest else []
            candidates.extend(ends(self._text, low, start))
            for at in candidates:
                if (
                    at < start
                    and is_break(self._text, at, earliest)
                    and self._ruler.count(at, start) <= self._overlap
                ):
                    return at
        return start

    def _crowds_out(self, begin: int, start: int) -> bool:
        """Whether a block that would fit, or a line of code, does not because of the overlap."""
        for spans in self._levels:
            index = bisect_right(spans.starts, start) - 1
            if spans.starts[index] == start and self._fits(start, spans.ends[index]):
                return self._ruler.count(begin, spans.ends[index]) > self._most
        if not self._in_fence(start):
            return False
        line = self._text.find("\n", start, self._ruler.limits(start, self._most)[2]) + 1
        return line > 0 and self._ruler.count(begin, line) > self._most >= self._ruler.count(start, line)

    def _fill(self, begin: int, start: int) -> tuple[int, int] | None:
        """The end of the chunk and its tokens; None where not even a grapheme fits behind the overlap."""
        size = len(self._text)
        low, about, upper = self._ruler.limits(begin, self._most)
        line = self._last_line(begin, max(start + 1, about), upper)
        high = max(start + 1, about, line)
        while True:
            end = size if high >= size else self._boundary(start, high)
            tokens = self._ruler.count(begin, end)
            if tokens <= self._most:
                return end, tokens
            if end <= start + 1 or end == next_break(self._text, start):
                return (end, tokens) if begin == start else None
            line = line or self._last_line(begin, max(start + 1, low), end)
            share = begin + (end - begin) * self._most // tokens
            high = max(start + 1, min(end - 1, max(share, line)))

    def _last_line(self, begin: int, low: int, high: int) -> int:
        """The last end of a line in text[low:high], with or without its newline, that a chunk can reach; else 0."""
        if not self._ruler.adds_up or low >= high:
            return 0
        ends = [at for end in line_ends(self._text, low, high) for at in (end - 1, end)]
        fitting = bisect_right(ends, self._most, key=lambda at: self._ruler.count(begin, at))
        return ends[fitting - 1] if fitting else 0

    def _boundary(self, start: int, high: int) -> int:
        """The best end in text[start:high]; behind `high` only if that is the middle of the first grapheme."""
        low, stop = start, len(self._text)
        for spans in self._levels:
            index = bisect_right(spans.starts, high) - 1
            at, stop = spans.starts[index], spans.starts[index + 1]
            end = spans.ends[index]
            if start < end <= high and not is_heading(self._text, at, end):
                return self._text.find("\n", end, high) + 1 or end  # only blank lines remain of it
            if at > start:
                best = self._before_heading(spans, index, start)
                if best > start and (self._is_full(start, best) or self._fits(at, spans.ends[index])):
                    return best
                low = max(low, at)
        for ends in CODE if self._in_fence(high) else PROSE:
            low = self._last_end(ends, low, high, stop)
            if low > start and (self._is_full(start, low) or self._next_fits(ends, low, high, stop)):
                return low
        end = last_break(self._text, low, high)
        return end if end > start else next_break(self._text, start)

    def _before_heading(self, spans: Spans, index: int, start: int) -> int:
        """The start of a span; of the last section beyond the chunk's half rather, and never between a title and its text.

        `start` itself: the titles are all there is, and the prose behind them is to be cut.
        """
        text, starts = self._text, spans.starts
        section = last = index
        while starts[section] > start and self._ruler.guess(start, starts[section]) >= self._most / 2:
            if text.startswith("#", starts[section]) and starts[section] not in self._layout.fences:
                index = section
                break
            section -= 1
        first = index
        while first and starts[first] > start and is_heading(text, starts[first - 1], spans.ends[first - 1]):
            first -= 1
        if starts[first] > start:
            return starts[first]
        whole = index < last or starts[index] in self._layout.fences or not is_prose(text, starts[index])
        return starts[index] if whole else start

    def _last_end(self, ends: Ends, low: int, high: int, stop: int) -> int:
        """The last end in text[low:high] that parts no grapheme, sought near `high` first; `low` if there is none."""
        stop = min(stop, high + _BEHIND)
        for first in (*(max(low, high - near) for near in _NEAR), low):
            found = [at for at in ends(self._text, first, stop) if at <= high]
            for at in reversed(found):
                if at > low and is_break(self._text, at, low):
                    return at
            if first == low:
                break
        return low

    def _next_fits(self, ends: Ends, at: int, high: int, stop: int) -> bool:
        """Whether what begins at `at` and was not reached could be whole in the next chunk."""
        room = self._most if ends is line_ends else self._most - self._overlap
        limit = min(stop, self._ruler.limits(at, room)[2])
        if limit == stop:
            return True
        return any(high < end <= limit for end in ends(self._text, at, limit + 1))

    def _is_full(self, start: int, end: int) -> bool:
        return self._ruler.guess(start, end) >= self._most * _FULL

    def _fits(self, start: int, end: int) -> bool:
        """Whether a whole chunk could hold it; measured only where a guess does not tell."""
        if self._ruler.guess(start, end) <= self._most / 2:
            return True
        return not self._ruler.exceeds(start, end, self._most) and self._ruler.count(start, end) <= self._most

    def _in_fence(self, at: int) -> bool:
        starts = self._layout.parts.starts
        return starts[bisect_right(starts, at) - 1] in self._layout.fences
