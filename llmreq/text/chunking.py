"""Splits a text into chunks of at most so many tokens, at the largest boundary that fits: paragraph, sentence, word, grapheme.

Every chunk is a verbatim slice, and without overlap the slices are the whole text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from llmreq.text.sentences import Span, paragraphs, sentences
from llmreq.text.tokens import TokenEstimator

_WORDS = re.compile(r"\S+\s*|\s+")
_HEADING = re.compile(r"#{1,6} ")
_JOINER = "\u200d"


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
    """Chunks of at most `max_tokens` (a single grapheme may be larger). Each repeats up to `overlap_tokens` of the one before,
    in whole sentences or words. Raises ValueError when the overlap leaves no room."""
    if max_tokens < 1 or not 0 <= overlap_tokens < max_tokens:
        raise ValueError("max_tokens must be at least 1, and overlap_tokens smaller than it")
    room = max_tokens - overlap_tokens
    pieces = _pieces(text, room, estimator)
    spans = _pack(text, pieces, room, estimator)
    chunks = []
    for index, (start, end) in enumerate(spans):
        if overlap_tokens and index:
            start = _reach_back(text, spans[index - 1][0], start, overlap_tokens, estimator)
        body = text[start:end]
        chunks.append(Chunk(index, start, end, body, estimator.estimate(body)))
    return chunks


def _pieces(text: str, room: int, estimator: TokenEstimator) -> list[tuple[Span, int]]:
    """Spans that fit, as large as they come, with their tokens."""
    levels: list[Callable[[str, int, int], Iterable[Span]]] = [sentences, _words, _graphemes]

    def split(span: Span, tokens: int, level: int) -> None:
        if tokens <= room or level == len(levels):
            found.append((span, tokens))
            return
        parts = list(levels[level](text, *span))
        if len(parts) == 1:
            split(span, tokens, level + 1)
            return
        for part, count in zip(parts, estimator.estimate_batch([text[a:b] for a, b in parts]), strict=True):
            split(part, count, level + 1)

    found: list[tuple[Span, int]] = []
    whole = paragraphs(text)
    for span, tokens in zip(whole, estimator.estimate_batch([text[a:b] for a, b in whole]), strict=True):
        split(span, tokens, 0)
    return found


def _pack(text: str, pieces: list[tuple[Span, int]], room: int, estimator: TokenEstimator) -> list[Span]:
    """Neighbours together while they fit; a heading begins a chunk once the one before is half full.

    Tokens of a whole are not exactly the sum of its parts, so the join is counted.
    """
    packed: list[Span] = []
    start, end, tokens = 0, 0, 0
    for (a, b), count in pieces:
        joined = tokens + count
        if end > start and (
            joined > room
            or (joined > room * 0.9 and estimator.estimate(text[start:b]) > room)
            or (tokens > room / 2 and _HEADING.match(text, a))
        ):
            packed.append((start, end))
            start, tokens = a, 0
        end, tokens = b, tokens + count
    if end > start:
        packed.append((start, end))
    return packed


def _reach_back(text: str, earliest: int, start: int, tokens: int, estimator: TokenEstimator) -> int:
    """Where the overlap begins: whole sentences of the chunk before if one fits, else whole words."""
    for split in (sentences, _words):
        best = start
        for a, _ in reversed(list(split(text, earliest, start))):
            if estimator.estimate(text[a:start]) > tokens:
                break
            best = a
        if best < start:
            return best
    return start


def _words(text: str, start: int, end: int) -> list[Span]:
    return [match.span() for match in _WORDS.finditer(text, start, end)]


def _graphemes(text: str, start: int, end: int) -> list[Span]:
    """What a reader takes for one sign: marks, joiners, modifiers and flag pairs stay with their base."""
    spans: list[Span] = []
    begin = start
    flags = 0
    for at in range(start, end):
        sign = text[at]
        is_flag = "\U0001f1e6" <= sign <= "\U0001f1ff"
        if at > begin and not _continues(text, at, sign) and not (is_flag and flags % 2):
            spans.append((begin, at))
            begin, flags = at, 0
        flags = flags + 1 if is_flag else 0
    if begin < end:
        spans.append((begin, end))
    return spans


def _continues(text: str, at: int, sign: str) -> bool:
    before = text[at - 1]
    return (
        sign == _JOINER
        or before == _JOINER
        or unicodedata.category(sign) in ("Mn", "Me", "Mc")
        or "\U0001f3fb" <= sign <= "\U0001f3ff"
        or (before == "\r" and sign == "\n")
    )
