"""cl100k_base's first step, cutting a text into pieces, so that a piece met before need not be encoded again.

The encoding counts each piece by itself; a text's tokens are the sum of its pieces'. Words repeat: remembering theirs is faster
than encoding them, and sums up to any piece tell the tokens of any slice.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import pairwise

REMEMBERED = 60_000
LONGEST_REMEMBERED = 24
"""Pieces (some 10 MB), and characters of one."""
_HIGH = re.compile("[\U00010000-\U0010ffff]")


class PieceCounter(dict[str, int]):
    """Tokens of a piece, by `counter[piece]`; what is not remembered yet is encoded."""

    __slots__ = ("_encode",)

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, piece: str) -> int:
        tokens = len(self._encode(piece))
        if len(piece) <= LONGEST_REMEMBERED:
            if len(self) >= REMEMBERED:
                self.clear()
            self[piece] = tokens
        return tokens


def is_known(text: str) -> bool:
    """Whether this Python's patterns are sure to class every sign of the text as the encoder does."""
    if text.isascii():
        return True
    high = set(_HIGH.findall(text))
    return all(unicodedata.category(sign)[0] == "S" for sign in high) and _unsure().search(text) is None


@cache
def pieces() -> re.Pattern[str]:
    """Matches the piece that begins at a position, in any text that `is_known`."""
    letters = _ranges([code for code in _beyond_ascii() if chr(code).isalpha()])
    numbers = _ranges([code for code in _beyond_ascii() if unicodedata.category(chr(code))[0] == "N"])
    space = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    return _pattern(letter="a-zA-Z" + letters, number="0-9" + numbers, space=space)


@cache
def _unsure() -> re.Pattern[str]:
    """Signs that a newer Unicode may have made letters or digits, and halves of surrogate pairs."""
    codes = [code for code in _beyond_ascii() if unicodedata.category(chr(code)) == "Cn"]
    return re.compile(f"[{_ranges(codes)}\ud800-\udfff]")


def _beyond_ascii() -> list[int]:
    """The code points of two bytes; classes that reach higher are searched slowly."""
    return [code for code in range(0x80, 0x10000) if not 0xD800 <= code < 0xE000]


def _pattern(letter: str, number: str, space: str) -> re.Pattern[str]:
    """The encoding's own alternatives, in its order, in this Python's syntax."""
    return re.compile(
        r"'(?:[sdmtSDMT\u017f]|[lL][lL]|[vV][eE]|[rR][eE])"
        rf"|[^\r\n{letter}{number}]?+[{letter}]++"
        rf"|[{number}]{{1,3}}+"
        rf"| ?[^{space}{letter}{number}]++[\r\n]*+"
        rf"|[{space}]++\Z|[{space}]*[\r\n]|[{space}]+(?![^{space}])|[{space}]"
    )


def _ranges(codes: list[int]) -> str:
    """Sorted code points as the inside of a character class."""
    if not codes:
        return ""
    firsts = [codes[0], *(b for a, b in pairwise(codes) if b > a + 1)]
    lasts = [*(a for a, b in pairwise(codes) if b > a + 1), codes[-1]]
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in zip(firsts, lasts, strict=True))
