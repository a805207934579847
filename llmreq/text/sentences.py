"""Where sentences end. Offsets, never copies: the pieces of a text always join to the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

Span = tuple[int, int]

_ABBREVIATIONS = frozenset(
    [
        "dr",
        "mr",
        "mrs",
        "ms",
        "prof",
        "st",
        "no",
        "vol",
        "fig",
        "e.g",
        "i.e",
        "etc",
        "vs",
        "jr",
        "sr",
        "inc",
        "ltd",
        "co",
        "corp",
        "dept",
        "approx",
        "u.s",
        "u.k",
        "a.m",
        "p.m",
        "z.b",
        "d.h",
        "bzw",
        "ca",
        "nr",
        "str",
        "usw",
        "u.a",
        "evtl",
        "ggf",
        "mme",
        "mlle",
    ]
)
# The end of a sentence with its closing quotes; CJK needs no space after it.
_END = re.compile(
    r"(?:[.!?…]+[\"'”’»)\]]*(?=\s|$))|(?:[。！？]+[”’」』）]*)|\n[ \t]*(?=\n)|\n(?=[-*•#>]|\d+[.)] )"
)
_LONGEST_ABBREVIATION = (
    12  # looked back so far: a text of nothing but abbreviations takes no longer than another
)
_LAST_WORD = re.compile(r"([\w.]+)\.$")


def sentences(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Spans of the sentences of text[start:end], each with the white space behind it; together they are all of it."""
    end = len(text) if end is None else end
    return list(pairwise([start, *sentence_ends(text, start, end)]))


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where the sentences of text[start:end] end, behind their white space; `end` is the last."""
    begin = start
    for match in _END.finditer(text, start, end):
        stop = match.end()
        if stop <= begin or (
            match.group().startswith(".")
            and _is_abbreviation(text[max(begin, stop - _LONGEST_ABBREVIATION) : stop])
        ):
            continue
        while stop < end and text[stop].isspace():
            stop += 1
        yield stop
        begin = stop
    if begin < end:
        yield end


def _is_abbreviation(piece: str) -> bool:
    match = _LAST_WORD.search(piece)
    if match is None:
        return False
    word = match.group(1).lower().rstrip(".")
    return word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha() and piece[-2].isupper())
