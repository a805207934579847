"""Chunks are verbatim, in order, complete and small enough, whatever the text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from llmreq.text.blocks import lay_out
from llmreq.text.chunking import Chunk, chunk_text
from llmreq.text.graphemes import is_break, next_break
from llmreq.text.ruler import Ruler
from llmreq.text.sentences import sentences
from llmreq.text.tokens import WordEstimator, best_estimator

ESTIMATOR = best_estimator()
ESTIMATORS = st.sampled_from([ESTIMATOR, WordEstimator()])
pieces = st.sampled_from(
    [
     "word ", "Dr. ", "e.g. ", "End. ", "Ende! ", "\n", "\n\n", "\r\n", "# Title\n", "```\n", "~~~~\n",
     "第一句。", "你好", "👩‍👩‍👧",
     "🇩🇪", "각", "\u1100\u1161", "क्षि", "e\u0301", "a" * 40, "  ", "\t", "    ", "- item\n", "1. one\n", "| a | b |\n",
     "「引用」、",
     "„Zitat“ ", "x", "12345", "'ll", "コンピュータ", "Title\n===\n", "\u3000", "\x1c", "\U0001d400"]
)  # fmt: skip
texts = st.lists(pieces, max_size=60).map("".join) | st.text(max_size=200)


@given(text=texts, size=st.integers(1, 60), estimator=ESTIMATORS)
def test_chunks_are_slices_that_cover_the_whole_text_in_order(
    text: str, size: int, estimator: WordEstimator
) -> None:
    chunks = chunk_text(text, max_tokens=size, estimator=estimator)
    assert "".join(chunk.text for chunk in chunks) == text
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunks)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    _fit(chunks, size, estimator)


@given(text=texts, size=st.integers(2, 60), data=st.data(), estimator=ESTIMATORS)
def test_an_overlap_repeats_the_end_of_the_chunk_before_and_no_more_than_asked(
    text: str, size: int, data: st.DataObject, estimator: WordEstimator
) -> None:
    overlap = data.draw(st.integers(1, size - 1))
    chunks = chunk_text(text, max_tokens=size, overlap_tokens=overlap, estimator=estimator)
    for before, after in pairwise(chunks):
        assert before.start <= after.start <= before.end < after.end
        assert estimator.estimate(text[after.start : before.end]) <= overlap
    assert not text or (chunks[0].start, chunks[-1].end) == (0, len(text))
    _fit(chunks, size, estimator)


def _fit(chunks: list[Chunk], size: int, estimator: WordEstimator) -> None:
    for chunk in chunks:
        assert chunk.tokens == estimator.estimate(chunk.text)
        assert chunk.tokens <= size or next_break(chunk.text, 0) == len(chunk.text), (
            "only one grapheme may be larger"
        )


@given(text=texts, size=st.integers(1, 8), overlap=st.integers(0, 7))
def test_no_chunk_begins_or_ends_within_a_grapheme(text: str, size: int, overlap: int) -> None:
    text = "".join(sign for sign in text if unicodedata.category(sign) not in ("Cn", "Cs"))
    whole = {0, *(match.end() for match in regex.finditer(r"\X", text))}
    for chunk in chunk_text(
        text, max_tokens=size, overlap_tokens=min(overlap, size - 1), estimator=ESTIMATOR
    ):
        assert {chunk.start, chunk.end} <= whole


@pytest.mark.parametrize(
    "sign",
    ["e\u0301", "👩‍👩‍👧", "👍🏽", "🇩🇪", "각", "\u1100\u1161\u11a8", "क्षि", "ก\u0e33", "\r\n",
     "か\u3099", "葛\U000e0100", "🏴\U000e0067\U000e007f",
     "ক্\u200dষ", "ｶ\uff9e", "\u0600\u0661"],
)  # fmt: skip
def test_what_a_reader_takes_for_one_sign_is_never_parted(sign: str) -> None:
    assert next_break(sign, 0) == len(sign)
    twice = sign * 2 + "x"
    assert [at for at in range(1, len(twice)) if is_break(twice, at)][-1] == len(sign) * 2
    assert len(sign) in [at for at in range(1, len(twice)) if is_break(twice, at)]


@given(text=texts, data=st.data())
def test_slices_are_measured_as_the_estimator_measures_them(text: str, data: st.DataObject) -> None:
    ruler = Ruler(text, ESTIMATOR)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert ruler.count(start, end) == ESTIMATOR.estimate(text[start:end])


@given(texts)
def test_sentences_and_blocks_lose_nothing(text: str) -> None:
    assert "".join(text[a:b] for a, b in sentences(text)) == text
    layout = lay_out(text)
    for spans in (layout.blocks, layout.parts):
        if text:
            assert spans.starts[0] == 0
        assert spans.starts[-1] == len(text)
        assert all(
            a <= end <= b and a < b for (a, b), end in zip(pairwise(spans.starts), spans.ends, strict=True)
        )
    assert {*layout.blocks.starts} <= {*layout.parts.starts}


lines = st.sampled_from(["x = 1", "", "def f():", "    return", "- a", "# no title", "``", "1. b", "第一"])
codes = st.tuples(
    st.sampled_from(["```", "~~~", "````", "  ```"]), st.lists(lines, max_size=12)
).map(lambda code: f"{code[0]}py\n" + "".join(f"{line}\n" for line in code[1]) + f"{code[0]}\n")  # fmt: skip
prose = st.lists(
    st.sampled_from(["A word. ", "Another sentence here, longer. ", "- item\n", "\n\n", "# T\n\n"])
).map("".join)


@given(
    st.lists(st.tuples(prose, codes, st.sampled_from(["", "\n", "\n\n\n"])), min_size=1, max_size=5),
    st.integers(8, 80),
    st.integers(0, 7),
)
def test_a_fence_is_never_cut_while_it_fits(
    parts: list[tuple[str, str, str]], size: int, overlap: int
) -> None:
    text = ""
    fences = []
    for before, code, after in parts:
        text += before if before.endswith("\n") else before + "\n"
        fences.append((len(text), len(text) + len(code.rstrip())))
        text += code + after
    chunks = chunk_text(text, max_tokens=size, overlap_tokens=overlap, estimator=ESTIMATOR)
    for start, end in fences:
        if ESTIMATOR.estimate(text[start:end]) <= size:
            assert any(chunk.start <= start and end <= chunk.end for chunk in chunks)
        elif all(len(line) < 20 for line in text.splitlines()):
            assert all(text[chunk.end - 1] == "\n" for chunk in chunks if start < chunk.end < end)


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


LIST = "- first thing\n- second thing\n\n  goes on\n- third thing\n"
TABLE = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n"
CODE = "```python\na = 1\n\nb = 2\n```\n"


@pytest.mark.parametrize("block", [LIST, TABLE, CODE, f"- see\n\n  {CODE}- next\n".replace("\n", "\n  ", 3)])
@pytest.mark.parametrize("before", [3, 8, 14])
def test_a_block_stays_whole_where_it_fits(block: str, before: int) -> None:
    text = "One short sentence here. " * before + f"\n\n{block}\nOutro of some words.\n"
    chunks = chunk_text(text, max_tokens=60, estimator=ESTIMATOR)
    assert len(chunks) > 1 or before == 3
    assert any(block in chunk.text for chunk in chunks)


def test_an_oversized_list_is_cut_at_its_items_and_a_table_at_its_rows() -> None:
    for line in ("- an item of a list\n  that goes on\n", "| a | b | c | d |\n"):
        chunks = chunk_text(line * 30, max_tokens=50, estimator=ESTIMATOR)
        assert len(chunks) > 3
        assert all(chunk.text.startswith(line[:3]) for chunk in chunks)


def test_a_heading_is_not_left_behind() -> None:
    text = "Words of a first part. " * 6 + "\n\n## Second\n\n" + "Words of the second part. " * 5
    chunks = chunk_text(text, max_tokens=48, estimator=ESTIMATOR)
    assert len(chunks) == 2
    assert chunks[1].text.startswith("## Second")


@pytest.mark.parametrize("text", ["我们用" * 50 + "Python" + "编写程序" * 50, "這是コンピュータ" * 40])
def test_a_word_in_a_text_without_spaces_is_not_cut(text: str) -> None:
    for size in range(20, 60):
        joined = "|".join(chunk.text for chunk in chunk_text(text, max_tokens=size, estimator=ESTIMATOR))
        for word in ("Python", "コンピュータ"):
            assert joined.count(word) == text.count(word)


def test_a_sentence_too_long_is_cut_at_a_clause() -> None:
    text = "This clause has six words, " * 20
    chunks = chunk_text(text, max_tokens=30, estimator=ESTIMATOR)
    assert all(chunk.text.endswith("words, ") for chunk in chunks)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x" * 5_000_000, id="one letter"),
        pytest.param("0123456789abcdefGHIJ" * 250_000, id="one line"),
        pytest.param("\n" * 1_000_000, id="newlines"),
        pytest.param("e" + "\u0301" * 1_000_000, id="combining marks"),
        pytest.param("🇩🇪" * 100_000, id="flags"),
        pytest.param("字" * 1_000_000, id="ideographs"),
        pytest.param("1" * 1_000_000, id="digits"),
        pytest.param("- a\n" * 250_000, id="items"),
        pytest.param("```\n~~~\n" * 100_000, id="fences"),
    ],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    chunks = chunk_text(text, max_tokens=500, estimator=ESTIMATOR)
    assert "".join(chunk.text for chunk in chunks) == text


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
