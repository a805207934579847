"""What cl100k_base's rules allow: to count a text in parts, and a word only once.

The encoding first cuts a text into pieces by a pattern that never looks back, and sums the tokens of the pieces. No piece goes
on behind a run of letters or of digits, so there a text may be cut and counted by halves. Nor does one go on to a space next to
a sign that is none: so a text without other white space is counted word by word, each with the space before it, and words
repeat. Other ASCII is counted by its pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

REMEMBERED = 100_000
LONGEST_REMEMBERED = 24
"""Words (some 10 MB), and characters of one."""
# Letters and digits, and signs that are neither, in every version of Unicode.
_SEAM = re.compile(r"[A-Za-z0-9ぁ-ゖァ-ヺ一-鿋가-힣а-яα-ωà-öø-ÿ](?=[ \n.,;:!?()\"'|、。，！？；：（）「」])")
# The encoding's own pattern, as far as ASCII goes.
_PIECE = re.compile(
    r"'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\na-zA-Z0-9]?+[a-zA-Z]++|[0-9]{1,3}+"
    r"| ?[^\t-\r a-zA-Z0-9]++[\r\n]*+|[\t-\r ]++\Z|[\t-\r ]*[\r\n]|[\t-\r ]+(?![^\t-\r ])|[\t-\r ]"
)


def seams(text: str, apart: int) -> Iterator[int]:
    """Where the text may be cut and its parts be counted each by itself: about every so many characters, and at its end."""
    at = 0
    while at < len(text):
        found = _SEAM.search(text, at + apart - 1)
        at = found.end() if found else len(text)
        yield at


class WordCounter:
    """Tokens of texts whose words it has met before; the same as by encoding them."""

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        self._encode = encode
        self._first = _Words(encode, "")
        self._others = _Words(encode, " ")

    def count(self, text: str) -> int:
        """The tokens of one text."""
        if not text.isascii():
            return len(self._encode(text))
        if "  " in text or " \n" in text or _has_rare_space(text):
            return sum(map(self._first.__getitem__, _PIECE.findall(text)))
        words = text.split(" ")
        return self._first[words.pop(0)] + sum(map(self._others.__getitem__, words))


class _Words(dict[str, int]):
    """Tokens of a word with what stands before it."""

    def __init__(self, encode: Callable[[str], list[int]], before: str) -> None:
        super().__init__()
        self._encode = encode
        self._before = before

    def __missing__(self, word: str) -> int:
        tokens = len(self._encode(self._before + word))
        if len(word) <= LONGEST_REMEMBERED:
            if len(self) >= REMEMBERED:
                self.clear()
            self[word] = tokens
        return tokens


def _has_rare_space(text: str) -> bool:
    return "\t" in text or "\r" in text or "\f" in text or "\v" in text
