"""Where cl100k_base, and its likes, let a text be counted in parts.

The encoding first cuts a text into pieces by a pattern that never looks back, and encodes each by itself. No piece goes on behind
a run of letters, nor of digits, nor behind a newline to a sign that is no white space: there a text may be cut, and the tokens of
the parts add up to those of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# A letter or digit before a sign that is neither, of those that are so in every version of Unicode.
_SEAM = re.compile(r"[A-Za-z0-9ぁ-ゖァ-ヺ一-鿋가-힣а-яα-ωà-öø-ÿ](?=[ \n.,;:!?()\"'|、。，！？；：（）「」])")


_LINE = re.compile(r"\n(?=\S)")


def seams(text: str, least: int, most: int) -> Iterator[int]:
    """Where the text may be cut and its parts be counted each by itself, and its end.

    Parts have `least` characters and are whole lines, or have about `most`; or more, where a text offers no seam.
    """
    at = 0
    while at < len(text):
        found = _LINE.search(text, at + least - 1, at + most) or _SEAM.search(text, at + most - 1)
        at = found.end() if found else len(text)
        yield at
