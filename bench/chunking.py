"""Megabytes per second of CPU through `chunk_text`, beside splitters from PyPI that count with the same encoding.

`pip install llmreq[bench]` gets those; one that is not installed is left out. Every round has a text of its own, which no splitter
has seen, another goes first, and every splitter is made anew for it, so that nothing is remembered.
"""

from __future__ import annotations

import gc
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import tiktoken

from llmreq.text.chunking import chunk_text
from llmreq.text.tokens import CL100K, TiktokenEstimator

SIZE = 512
"""Tokens of a chunk."""
Split = Callable[[str], list[str]]


def run(rounds: int) -> dict[str, Any]:
    """Median MB per CPU second by text and splitter; how many chunks were larger than asked, and whether they join to the text."""
    encoding = tiktoken.get_encoding(CL100K)
    figures: dict[str, Any] = {}
    for kind, make in (("prose", prose), ("chinese", chinese), ("markdown", markdown)):
        rates: dict[str, list[float]] = {}
        notes: dict[str, str] = {}
        for seed in range(rounds):
            text = make(random.Random(seed), encoding)
            contestants = [*splitters(encoding)]
            turn = seed % len(contestants)
            for name, build in contestants[turn:] + contestants[:turn]:
                split = build()
                gc.collect()
                began = time.process_time()
                chunks = split(text)
                seconds = time.process_time() - began
                rates.setdefault(name, []).append(len(text.encode()) / seconds / 1e6)
                notes[name] = _judged(chunks, text, encoding)
        for name, rate in rates.items():
            figures[f"{kind}, {name}"] = f"{statistics.median(rate):.2f} MB/s of CPU; {notes[name]}"
    return figures


def _judged(chunks: list[str], text: str, encoding: tiktoken.Encoding) -> str:
    counts = [len(encoding.encode_ordinary(chunk)) for chunk in chunks]
    larger = sum(count > SIZE for count in counts)
    joined = "lossless" if "".join(chunks) == text else "not lossless"
    return f"{len(chunks)} chunks of {statistics.mean(counts):.0f} tokens, {larger} too large, {joined}"


def splitters(encoding: tiktoken.Encoding) -> Iterator[tuple[str, Callable[[], Split]]]:
    """What is installed: its name, and what makes a fresh one."""

    def count(text: str) -> int:
        return len(encoding.encode_ordinary(text))

    def ours() -> Split:
        estimator = TiktokenEstimator()
        return lambda text: [each.text for each in chunk_text(text, max_tokens=SIZE, estimator=estimator)]

    yield "llmreq", ours
    yield "tiktoken alone", lambda: lambda text: [text for _ in encoding.encode_ordinary(text)[:1]]
    try:
        import semchunk

        yield "semchunk", lambda: semchunk.chunkerify(encoding, SIZE, cache_maxsize=None)
    except ImportError:
        pass
    try:
        from semantic_text_splitter import TextSplitter

        yield "semantic-text-splitter", lambda: TextSplitter.from_callback(count, SIZE, trim=False).chunks
        yield (
            "semantic-text-splitter, its own tokenizer",
            lambda: TextSplitter.from_tiktoken_model("gpt-4", SIZE, trim=False).chunks,
        )
    except ImportError:
        pass
    try:
        from langchain_text_splitters import RecursiveCharacterTextSplitter
        from langchain_text_splitters.base import Tokenizer, split_text_on_tokens

        yield (
            "langchain recursive",
            lambda: (
                RecursiveCharacterTextSplitter(
                    chunk_size=SIZE, chunk_overlap=0, length_function=count
                ).split_text
            ),
        )
        by_tokens = Tokenizer(
            chunk_overlap=0, tokens_per_chunk=SIZE, decode=encoding.decode, encode=encoding.encode_ordinary
        )
        yield (
            "langchain tokens (cuts words)",
            lambda: lambda text: split_text_on_tokens(text=text, tokenizer=by_tokens),
        )
    except ImportError:
        pass
    try:
        import chonkie

        def of(chunker: Any) -> Split:
            return lambda text: [each.text for each in chunker.chunk(text)]

        yield (
            "chonkie sentences",
            lambda: of(chonkie.SentenceChunker(tokenizer=encoding, chunk_size=SIZE, chunk_overlap=0)),
        )
        yield "chonkie recursive", lambda: of(chonkie.RecursiveChunker(tokenizer=encoding, chunk_size=SIZE))
        yield (
            "chonkie tokens (cuts words)",
            lambda: of(chonkie.TokenChunker(tokenizer=encoding, chunk_size=SIZE, chunk_overlap=0)),
        )
    except ImportError:
        pass


def prose(chance: random.Random, encoding: tiktoken.Encoding, size: int = 2_000_000) -> str:
    """English as the encoding knows it: its words by rank, as Zipf has them; one in fifty is made of two, and new."""
    words = _words(chance, encoding)
    parts: list[str] = []
    while size > 0:
        paragraph = " ".join(_sentence(chance, words) for _ in range(chance.randint(2, 8))) + "\n\n"
        parts.append(paragraph)
        size -= len(paragraph)
    return "".join(parts)


def chinese(chance: random.Random, encoding: tiktoken.Encoding, size: int = 1_000_000) -> str:
    """Chinese sentences with an English word now and then; `size` in bytes."""
    words = _words(chance, encoding)
    known = [value for value in _values(encoding) if re.fullmatch("[一-鿋]", value)]
    signs = [*known, *map(chr, range(0x4E00, 0x9000, 17))]
    often = [*accumulate(1 / (rank + 100) for rank in range(len(signs)))]
    lexicon = [
        "".join(chance.choices(signs, cum_weights=often, k=chance.choice([1, 2, 2, 2, 3, 4])))
        for _ in range(12_000)
    ]
    weights = [*accumulate(1 / (rank + 3) for rank in range(len(lexicon)))]
    parts: list[str] = []
    while size > 0:
        sentence = ""
        for word in chance.choices(lexicon, cum_weights=weights, k=chance.randint(6, 24)):
            sentence += word + (
                "，" if chance.random() < 0.12 else f" {next(words)} " if chance.random() < 0.08 else ""
            )
        parts.append(sentence + chance.choice(["。", "。", "。", "！", "？", "。\n\n"]))
        size -= len(parts[-1].encode())
    return "".join(parts)


def markdown(chance: random.Random, encoding: tiktoken.Encoding, size: int = 1_000_000) -> str:
    """Sections with paragraphs, lists, tables and code."""
    words = _words(chance, encoding)

    def some(least: int, most: int) -> list[str]:
        return [next(words) for _ in range(chance.randint(least, most))]

    def block() -> str:
        kind = chance.random()
        if kind < 0.5:
            return " ".join(_sentence(chance, words) for _ in range(chance.randint(1, 6))) + "\n"
        if kind < 0.65:
            return "".join(f"- {' '.join(some(3, 20))}\n" for _ in range(chance.randint(2, 8)))
        if kind < 0.75:
            rows = [
                "| a | b | c |",
                "|---|---|---|",
                *(f"| {' | '.join(some(3, 3))} |" for _ in range(chance.randint(2, 10))),
            ]
            return "\n".join(rows) + "\n"
        lines = [
            f"    {next(words)}_{next(words)} = {next(words)}({', '.join(some(1, 3))})"
            for _ in range(chance.randint(3, 30))
        ]
        return "```python\ndef {}():\n{}\n```\n".format(next(words), "\n".join(lines))

    parts: list[str] = []
    while size > 0:
        parts.append(
            f"## {' '.join(some(2, 6))}\n\n" + "\n".join(block() for _ in range(chance.randint(2, 7))) + "\n"
        )
        size -= len(parts[-1])
    return "".join(parts)


def _values(encoding: tiktoken.Encoding) -> list[str]:
    """The tokens by rank, which is about how often each was seen."""
    return [encoding.decode_single_token_bytes(token).decode(errors="replace") for token in range(100_000)]


def _words(chance: random.Random, encoding: tiktoken.Encoding) -> Iterator[str]:
    known = [value[1:] for value in _values(encoding) if re.fullmatch(" [a-z]+", value)]
    weights = [*accumulate(1 / (rank + 3) for rank in range(len(known)))]
    while True:
        for word in chance.choices(known, cum_weights=weights, k=1000):
            yield word + chance.choice(known) if chance.random() < 0.02 else word


def _sentence(chance: random.Random, words: Iterator[str]) -> str:
    said = [next(words) for _ in range(chance.randint(5, 28))]
    said[0] = said[0].capitalize()
    return "".join(f"{', ' if chance.random() < 0.08 else ' '}{word}" for word in said)[
        1:
    ].strip() + chance.choice(".....?!")
