"""Chunks are verbatim, in order, complete and small enough, whatever the text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.text.chunking import chunk_text
from llmreq.text.sentences import paragraphs, sentences
from llmreq.text.tokens import best_estimator

ESTIMATOR = best_estimator()
pieces = st.sampled_from(
    [
     "word ", "Dr. ", "e.g. ", "End. ", "Ende! ", "\n", "\n\n", "# Title\n", "```\n", "第一句。", "你好", "👩‍👩‍👧",
     "e\u0301", "a" * 40, "  ",
     "- item\n", "„Zitat“ ", "x"]
)  # fmt: skip
texts = st.lists(pieces, max_size=60).map("".join) | st.text(max_size=200)


@given(text=texts, size=st.integers(1, 60))
def test_chunks_are_slices_that_cover_the_whole_text_in_order(text: str, size: int) -> None:
    chunks = chunk_text(text, max_tokens=size, estimator=ESTIMATOR)
    assert "".join(chunk.text for chunk in chunks) == text
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunks)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert chunk.tokens <= size or len(chunk.text) <= 12, "only a single sign may be larger"


@given(text=texts, size=st.integers(2, 60), data=st.data())
def test_an_overlap_repeats_the_end_of_the_chunk_before_and_no_more_than_asked(
    text: str, size: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(1, size - 1))
    chunks = chunk_text(text, max_tokens=size, overlap_tokens=overlap, estimator=ESTIMATOR)
    for before, after in pairwise(chunks):
        assert before.start <= after.start <= before.end <= after.end
        assert ESTIMATOR.estimate(text[after.start : before.end]) <= overlap
    assert not text or (chunks[0].start, chunks[-1].end) == (0, len(text))


@given(texts)
def test_sentences_and_paragraphs_lose_nothing(text: str) -> None:
    for split in (sentences(text), paragraphs(text)):
        assert "".join(text[a:b] for a, b in split) == text


class Counting:
    """Counts the characters that chunking has looked at."""

    exact = False

    def __init__(self) -> None:
        self.seen = 0

    def estimate(self, text: str) -> int:
        self.seen += len(text)
        return len(text) // 4 + 1

    def estimate_batch(self, texts: Sequence[str]) -> list[int]:
        return [self.estimate(text) for text in texts]


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        " ",
        "\n",
        "\n\n",
        "e.g. ",
        "word ",
        "Ein Satz. ",
        "第一句。",
        "```\n\n",
        "# A\n\n",
        "a.b.c.",
        "👩‍👩‍👧",
    ],
)
def test_work_grows_with_the_text_and_not_faster(unit: str) -> None:
    work = []
    for length in (20_000, 80_000):
        counting = Counting()
        chunk_text((unit * length)[:length], max_tokens=100, estimator=counting)
        work.append(counting.seen)
    assert work[1] < 5 * work[0]
    assert work[1] < 15 * 80_000


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["a", " ", "\n", "e.g. ", "```\n\n"])
def test_a_long_text_of_one_thing_ends(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    assert "".join(chunk.text for chunk in chunk_text(text, max_tokens=500, estimator=ESTIMATOR)) == text


def test_a_chunk_begins_at_a_heading_rather_than_in_the_middle_of_a_section() -> None:
    section = "One sentence of the section here. " * 12
    text = "".join(f"# Part {n}\n\n{section}\n\n" for n in range(4))
    chunks = chunk_text(text, max_tokens=130, estimator=ESTIMATOR)
    assert [chunk.text[:8] for chunk in chunks] == ["# Part 0", "# Part 1", "# Part 2", "# Part 3"]


def test_a_code_block_stays_whole_where_it_fits() -> None:
    text = "Intro.\n\n```python\na = 1\n\nb = 2\n```\n\nOutro."
    assert "```python\na = 1\n\nb = 2\n```" in "|".join(text[a:b] for a, b in paragraphs(text))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Dr. Smith met Mr. Jones. They talked.", 2),
        ("Das gilt z.B. hier. Und bzw. dort auch.", 2),
        ('He said "Stop!" Then he left.', 2),
        ("第一句。第二句！第三句？", 3),
        ("Version 2.5 is out. Get it.", 2),
        ("No end", 1),
        ("", 0),
        ("J. S. Bach wrote it. Fine.", 2),
    ],
)
def test_sentences_end_where_readers_see_them_end(text: str, count: int) -> None:
    assert len(sentences(text)) == count


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (5, 5), (5, -1)])
def test_sizes_that_make_no_sense_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        chunk_text("x", max_tokens=size, overlap_tokens=overlap, estimator=ESTIMATOR)
