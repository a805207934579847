"""Measures slices of one text in tokens: the text is counted once, in parts, and a slice then by the parts within it."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate, pairwise

from llmreq.text.cl100k import seams
from llmreq.text.tokens import TiktokenEstimator, TokenEstimator

_LEAST, _PART = 48, 192
"""Bytes of a part, about. What a slice cuts off at its ends is counted anew: smaller is more marks, larger more of that."""
_LARGE = 10 * _PART
_BASES = 16


class Ruler:
    """Marks at the seams of a text, with the tokens up to each: guesses, unless the estimator's sums are exact (`adds_up`)."""

    def __init__(self, text: str, estimator: TokenEstimator) -> None:
        self._text = text
        self._estimate = estimator.estimate_batch
        self.adds_up = isinstance(estimator, TiktokenEstimator) and estimator.is_cl100k  # its seams are known
        wide = max(1, len(text.encode(errors="replace"))) / max(1, len(text))
        self._ends = array("q", [0, *seams(text, max(1, int(_LEAST / wide)), max(1, int(_PART / wide)))])
        counts = estimator.estimate_batch([text[a:b] for a, b in pairwise(self._ends)])
        self._sums = array("q", accumulate(counts, initial=0))
        self._bases: dict[int, int] = {}

    def count(self, start: int, end: int) -> int:
        """The tokens of text[start:end], exactly as the estimator says."""
        last = bisect_right(self._ends, end) - 1
        if not self.adds_up or self._ends[last] <= start:
            return self._estimate([self._text[start:end]])[0]
        tail = self._estimate([self._text[self._ends[last] : end]])[0] if self._ends[last] < end else 0
        return self._sums[last] - self._base(start) + tail

    def guess(self, start: int, end: int) -> float:
        """About how many that are, at no cost."""
        return self._tokens_before(end) - self._tokens_before(start)

    def exceeds(self, start: int, end: int, tokens: int) -> bool:
        """Whether they surely are more, by the parts within alone; a guess gets half as many again."""
        first, last = bisect_left(self._ends, start), bisect_right(self._ends, end) - 1
        return self._sums[last] - self._sums[first] > (tokens if self.adds_up else tokens * 1.5)

    def limits(self, start: int, tokens: int) -> tuple[int, int, int]:
        """Where a slice from `start` surely has no more than so many tokens, about where it has them, where surely more.

        Nothing is sure where sums are guesses, and within a part much larger than others.
        """
        index = bisect_left(self._ends, start)
        exact = self.adds_up and self._ends[index] - start <= _LARGE
        wanted = tokens + (self._base(start) if exact else self._tokens_before(start))
        last = bisect_right(self._sums, wanted) - 1
        about = max(start + 1, self._position(wanted))
        if last + 1 >= len(self._ends):
            return about, about, about
        return max(start, self._ends[last]), about, max(about, min(self._ends[last + 1], about + 2 * _PART))

    def reach_back(self, end: int, tokens: int) -> int:
        """About where the last so many tokens before `end` begin."""
        return self._position(max(0, self._tokens_before(end) - tokens))

    def _base(self, start: int) -> int:
        """What to take from the sum at a mark behind `start` to have the tokens between."""
        base = self._bases.get(start)
        if base is None:
            first = bisect_left(self._ends, start)
            base = self._sums[first] - self._estimate([self._text[start : self._ends[first]]])[0]
            if len(self._bases) > _BASES:
                self._bases.clear()
            self._bases[start] = base
        return base

    def _tokens_before(self, at: int) -> float:
        last = bisect_right(self._ends, at) - 1
        end, total = self._ends[last], self._sums[last]
        if end == at:
            return total
        share = (at - end) / (self._ends[last + 1] - end)
        return total + share * (self._sums[last + 1] - total)

    def _position(self, tokens: float) -> int:
        last = bisect_right(self._sums, tokens) - 1
        if last + 1 >= len(self._ends):
            return len(self._text)
        share = (tokens - self._sums[last]) / (self._sums[last + 1] - self._sums[last])
        return self._ends[last] + int(share * (self._ends[last + 1] - self._ends[last]))
