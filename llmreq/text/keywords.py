"""Keywords and extractive summaries: which words and sentences of a text carry it."""

from __future__ import annotations

import re
from collections import Counter

from llmreq.text.language import _SMALL_WORDS
from llmreq.text.sentences import sentences

_WORD = re.compile(r"[^\W\d_]{3,}")
_MORE_STOP_WORDS = (
    "have has been will would could should there their them then than when what who how all one two can our out into over after"
    " before about more most some such only also just very again still your its did does don who said says"
)
_STOP = frozenset(word for words in (*_SMALL_WORDS.values(), _MORE_STOP_WORDS) for word in words.split())
_LONGEST_SUMMARY_SENTENCE = 300


def keywords(text: str, limit: int = 8) -> list[str]:
    """The words said most often that are no small words, most frequent first, then first said."""
    first: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for match in _WORD.finditer(text):
        word = match.group().lower()
        if word not in _STOP:
            counts[word] += 1
            first.setdefault(word, match.start())
    ranked = sorted(counts, key=lambda word: (-counts[word], first[word]))
    return ranked[:limit]


def summary(text: str, sentence_count: int = 1) -> str:
    """The sentences that hold most of the text's keywords, verbatim and in their order."""
    weights = {word: 1 / (rank + 2) for rank, word in enumerate(keywords(text, 20))}
    scored = []
    for order, (start, end) in enumerate(sentences(text)):
        body = " ".join(text[start:end].split())
        if 0 < len(body) <= _LONGEST_SUMMARY_SENTENCE:
            words = {word.lower() for word in _WORD.findall(body)}
            score = sum(weights.get(word, 0) for word in words) / (len(words) + 4) ** 0.5
            scored.append((score + (0.02 if order == 0 else 0), -order, body))
    if not scored:
        return " ".join(text.split())[:_LONGEST_SUMMARY_SENTENCE]
    best = sorted(scored, reverse=True)[:sentence_count]
    return " ".join(body for _, _, body in sorted(best, key=lambda each: -each[1]))
