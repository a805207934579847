"""Where cl100k_base, and its likes, let a text be counted in parts.

The encoding first cuts a text into pieces by a pattern that never looks back, and encodes each by itself. No piece goes on behind
a run of letters, nor of digits: there a text may be cut, and the tokens of the parts add up to those of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# A letter or digit before a sign that is neither, of those that are so in every version of Unicode.
_SEAM = re.compile(r"[A-Za-z0-9ぁ-ゖァ-ヺ一-鿋가-힣а-яα-ωà-öø-ÿ](?=[ \n.,;:!?()\"'|、。，！？；：（）「」])")


def seams(text: str, apart: int) -> Iterator[int]:
    """Where the text may be cut and its parts be counted each by itself: about every so many characters, and at its end."""
    at = 0
    while at < len(text):
        found = _SEAM.search(text, at + apart - 1)
        at = found.end() if found else len(text)
        yield at
