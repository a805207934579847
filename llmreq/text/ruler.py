"""Measures slices of one text in tokens: each part of the text is counted once, and a slice then by what lies before its ends."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from llmreq.text.cl100k import is_known, pieces
from llmreq.text.tokens import TiktokenEstimator, TokenEstimator

_PART = 256
"""Characters of a part, for an estimator that knows nothing better; the sum of parts then is a guess."""
_WINDOW = 100_000
"""Characters cut into pieces at once: strings of pieces take twenty times the room of their text."""
_LATE = 64
"""After so many pieces a slice that begins inside a piece is counted by itself."""


class Ruler:
    """Tokens by the sum over parts; `count` asks the estimator, `guess` does not."""

    def __init__(self, text: str, estimator: TokenEstimator) -> None:
        self._text = text
        self._estimate = estimator.estimate
        ends = [*range(_PART, len(text), _PART), len(text)] if text else []
        parts = [text[end - _PART if end % _PART == 0 else end - end % _PART : end] for end in ends]
        self._mark(ends, estimator.estimate_batch(parts))

    def _mark(self, ends: Iterable[int], counts: Iterable[int]) -> None:
        self._ends = array("q", [0, *ends])
        self._sums = array("q", accumulate(counts, initial=0))

    def count(self, start: int, end: int) -> int:
        """The tokens of text[start:end], exactly as the estimator says."""
        return self._estimate(self._text[start:end])

    def guess(self, start: int, end: int) -> float:
        """About how many that are, at no cost."""
        return self._sum_at(end) - self._sum_at(start)

    def reach(self, start: int, tokens: int) -> int:
        """About where text[start:] has so many tokens; at least one character on."""
        wanted = self._sum_at(start) + tokens
        last = bisect_right(self._sums, wanted) - 1
        if last + 1 >= len(self._ends):
            return len(self._text)
        share = (wanted - self._sums[last]) / (self._sums[last + 1] - self._sums[last])
        return max(start + 1, self._ends[last] + int(share * (self._ends[last + 1] - self._ends[last])))

    def reach_back(self, end: int, tokens: int) -> int:
        """About where the last so many tokens before `end` begin."""
        wanted = self._sum_at(end) - tokens
        if wanted <= 0:
            return 0
        last = bisect_right(self._sums, wanted) - 1
        share = (wanted - self._sums[last]) / (self._sums[last + 1] - self._sums[last])
        return self._ends[last] + int(share * (self._ends[last + 1] - self._ends[last]))

    def _sum_at(self, at: int) -> float:
        last = bisect_right(self._ends, at) - 1
        end, total = self._ends[last], self._sums[last]
        if end == at:
            return total
        share = (at - end) / (self._ends[last + 1] - end)
        return total + share * (self._sums[last + 1] - total)


class PieceRuler(Ruler):
    """Exact sums: the encoding counts piece by piece, so only pieces that a slice's ends cut through are counted anew."""

    def __init__(self, text: str, estimator: TiktokenEstimator) -> None:
        self._text = text
        self._estimate = estimator.estimate
        self._pieces = pieces()
        self._counter = estimator.pieces
        lengths, counts = array("q"), array("q")
        for start, end in _windows(text):
            found = self._pieces.findall(text, start, end)
            lengths.extend(map(len, found))
            counts.extend(map(self._counter.__getitem__, found))
        self._mark(accumulate(lengths), counts)

    def count(self, start: int, end: int) -> int:
        """As the estimator says, without asking it: what lies between the first and the last whole piece is summed.

        A piece depends on nothing before it, and after it on no more than the white space that follows. So a slice's
        pieces are the text's own from the first common end on, up to the white space at the slice's end.
        """
        first, head = self._first_common(start, end)
        if first < 0:
            return self._estimate(self._text[start:end])
        settled = start + len(self._text[start:end].rstrip())
        last = bisect_right(self._ends, settled) - 1
        if last < first:
            return self._estimate(self._text[start:end])
        count = head + self._sums[last] - self._sums[first]
        if self._ends[last] < end:
            count += sum(
                map(self._counter.__getitem__, self._pieces.findall(self._text, self._ends[last], end))
            )
        return count

    def _first_common(self, start: int, end: int) -> tuple[int, int]:
        """Which piece's end the slice shares first (-1: none soon), and the tokens before it."""
        ends, index = self._ends, bisect_left(self._ends, start)
        at, tokens = start, 0
        for _ in range(_LATE):
            if ends[index] == at:
                return index, tokens
            piece = self._pieces.match(self._text, at, end)
            if piece is None:
                break
            at, tokens = piece.end(), tokens + self._counter[piece.group()]
            index = bisect_left(ends, at, index)
        return -1, 0


def make_ruler(text: str, estimator: TokenEstimator) -> Ruler:
    """The exact one where the estimator and the text allow it."""
    if isinstance(estimator, TiktokenEstimator) and is_known(text):
        return PieceRuler(text, estimator)
    return Ruler(text, estimator)


def _windows(text: str) -> Sequence[tuple[int, int]]:
    """Cuts at which a piece surely ends: before a single space between two signs that are none."""
    spans, start = [], 0
    while start < len(text):
        end = start + _WINDOW
        while end < len(text):
            end = text.find(" ", end)
            if end < 0:
                end = len(text)
            elif not text[end - 1].isspace() and end + 1 < len(text) and not text[end + 1].isspace():
                break
            else:
                end += 1
        spans.append((start, min(end, len(text))))
        start = end
    return spans
