"""Where lines, list items, clauses and words end: what a block too large for one chunk is cut at.

Each function gives the ends in text[start:end] in order; `end` itself may be among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from llmreq.text.sentences import sentence_ends

Ends = Callable[[str, int, int], Iterator[int]]

_KANA = "゠-ヿｦ-ﾟ"
_IDEOGRAPHS = "⺀-⿟々〆ぁ-ゟㄅ-ㄯㆠ-ㆿ㐀-鿿豈-\ufaff\U00020000-\U0003ffff"
_CLOSING = "、。，．：；！？）」』】〉》”’…"
# An ideograph may be parted from its neighbours, a word may not; punctuation stays with what it closes.
_WORD = rf"(?:[{_IDEOGRAPHS}]|[{_KANA}]++|[^\s{_KANA}{_IDEOGRAPHS}{_CLOSING}]++)[{_CLOSING}]*+\s*+|[{_CLOSING}]++\s*+|\s++"


def _ends(pattern: str) -> Ends:
    compiled = re.compile(pattern)

    def ends(text: str, start: int, end: int) -> Iterator[int]:
        return (match.end() for match in compiled.finditer(text, start, end))

    return ends


line_ends = _ends(r"\n")
item_ends = _ends(r"\n(?=(?:[-*+•]|\d{1,9}[.)])[ \t])")
row_ends = _ends(r"\n(?=[ \t]*+(?:[-*+•>|]|\d{1,9}[.)][ \t]))")
clause_ends = _ends(r"[,;:–—][\"'”’)\]]*+\s++|[，、；：][”’」』）]*+\s*+")
word_ends = _ends(_WORD)

PROSE: tuple[Ends, ...] = (item_ends, row_ends, sentence_ends, clause_ends, word_ends)
CODE: tuple[Ends, ...] = (line_ends, word_ends)
