"""Chunks of data hold whole records, stand on their own, and join to the source."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.text.records import RecordChunk, RecordFormat, chunk_records
from llmreq.text.tokens import WordEstimator, best_estimator

ESTIMATOR = best_estimator()
signs = st.text(alphabet=st.sampled_from('ab1 ,;:"\\\n\r\t[]{}é好😀\u2028\ufeff'), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | signs,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(signs, inner, max_size=4),
    max_leaves=8,
)
sizes = st.integers(1, 60)


def _checked(text: str, chunks: list[RecordChunk], size: int, count: int) -> None:
    assert "".join(text[chunk.start : chunk.end] for chunk in chunks) == text
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert sum(chunk.records for chunk in chunks) == count
    at = 0
    for chunk in chunks:
        assert chunk.first_record == at
        at += chunk.records
        assert chunk.tokens == ESTIMATOR.estimate(chunk.text)
        assert chunk.oversized == (chunk.tokens > size)
        assert chunk.records <= 1 or not chunk.oversized


@given(
    st.lists(values, max_size=12),
    sizes,
    st.sampled_from([None, 0, 2]),
    st.sampled_from(["", "\ufeff", "\ufeff \r\n"]),
)
def test_an_arrays_chunks_are_arrays_that_hold_its_elements(
    records: list[Any], size: int, indent: int | None, before: str
) -> None:
    text = before + json.dumps(records, indent=indent, ensure_ascii=False) + "\r\n"
    chunks = chunk_records(text, format="json", max_tokens=size, estimator=ESTIMATOR)
    _checked(text, chunks, size, len(records))
    assert [record for chunk in chunks for record in json.loads(chunk.text)] == records
    assert all(len(json.loads(chunk.text)) == chunk.records for chunk in chunks)


@given(st.lists(values, max_size=12), sizes, st.data())
def test_lines_stay_whole(records: list[Any], size: int, data: st.DataObject) -> None:
    ends = st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\r\n"])
    text = data.draw(st.sampled_from(["", "\ufeff", "\n\n"])) + "".join(
        json.dumps(record, ensure_ascii=False) + data.draw(ends) for record in records
    )
    text = text.rstrip("\n") if data.draw(st.booleans()) else text
    chunks = chunk_records(text, format="jsonl", max_tokens=size, estimator=ESTIMATOR)
    _checked(text, chunks, size, len(records))
    lines = [
        line
        for chunk in chunks
        for line in chunk.text.removeprefix("\ufeff").split("\n")
        if line.strip(" \t\r")
    ]
    assert [json.loads(line) for line in lines] == records


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(signs, min_size=width, max_size=width), min_size=1, max_size=12)
    ),
    sizes,
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["", "\ufeff"]),
)
def test_rows_stay_whole_under_their_header(
    rows: list[list[str]], size: int, end: str, delimiter: str, before: str
) -> None:
    header = [f"name {n}" for n in range(len(rows[0]))]
    file = io.StringIO(newline="")
    quoting = (
        csv.QUOTE_ALL
        if len(header) == 1 or any("\r" in field for row in rows for field in row)
        else csv.QUOTE_MINIMAL
    )
    csv.writer(file, lineterminator=end, delimiter=delimiter, quoting=quoting).writerows([header, *rows])
    text = before + file.getvalue()
    chunks = chunk_records(text, format="csv", max_tokens=size, estimator=ESTIMATOR)
    _checked(text, chunks, size, len(rows))
    read = []
    for chunk in chunks:
        first, *others = csv.reader(io.StringIO(chunk.text, newline=""), delimiter=delimiter)
        assert first == header
        assert len(others) == chunk.records
        read += others
    assert read == rows


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ('[{"a": 1}, 2]', "json"),
        (' \ufeff[{"a": 1}]', "csv"),
        ("[\n 1,\n 2\n]\n", "json"),
        ("[1, 2]\n[3, 4]\n", "jsonl"),
        ('{"a": 1}\n{"a": 2}', "jsonl"),
        ('\ufeff\r\n{"a": 1}\r\n', "jsonl"),
        ("a,b\n1,2\n", "csv"),
        ('"a","b"\n1,2\n', "csv"),
        ("1\n2\n", "csv"),
        ("[1, 2", "json"),
    ],
)
def test_a_format_is_told_by_the_beginning(text: str, format: RecordFormat) -> None:
    def outcome(format: RecordFormat | None) -> object:
        try:
            return chunk_records(text, format=format, max_tokens=5, estimator=ESTIMATOR)
        except ValueError as error:
            return str(error)

    assert outcome(None) == outcome(format)


@pytest.mark.parametrize(
    ("text", "format", "message"),
    [
        ('{"a": 1}', "json", "elements of an array; at offset 0"),
        ("", "json", None),
        ("[1, 2", "json", "record 1: neither a comma nor the array's end at offset 5"),
        ("[1, 2,]", "json", "record 2: Expecting value at offset 6"),
        ("[1 2]", "json", "record 0: neither a comma nor the array's end at offset 3"),
        ('[1, {"a": }]', "json", "record 1: Expecting value at offset 10"),
        ("[1] x", "json", "more text behind the array, at offset 4"),
        ("[NaN]", "json", "record 0, from offset 1 on: NaN is not JSON"),
        ("[" * 100_000, "json", "record 0"),
        ('{"a": 1}\n{"a"', "jsonl", "record 1: Expecting ':' delimiter at offset 13"),
        ('{"a":\n1}', "jsonl", "record 0: a line is one JSON value, and does not end at offset 5"),
        ("1 2\n", "jsonl", "record 0: a line is one JSON value"),
        ('a,b\n1,2\n3,"4\n5,6\n', "csv", "record 1, from offset 8 on: a quoted field is never closed"),
        ('a,"b\n', "csv", "the header, from offset 0 on: a quoted field is never closed"),
    ],
)
def test_what_is_no_such_data_is_refused_in_one_line(
    text: str, format: RecordFormat, message: str | None
) -> None:
    if message is None:
        assert chunk_records(text, format=format, max_tokens=5, estimator=ESTIMATOR) == []
        return
    with pytest.raises(ValueError) as caught:
        chunk_records(text, format=format, max_tokens=5, estimator=ESTIMATOR)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_record_too_large_stands_alone_and_is_told_apart() -> None:
    text = json.dumps([{"n": 1}, {"n": "word " * 50}, {"n": 2}, {"n": 3}])
    chunks = chunk_records(text, max_tokens=20, estimator=ESTIMATOR)
    assert [(chunk.records, chunk.oversized) for chunk in chunks] == [(1, False), (1, True), (2, False)]


def test_chunks_are_filled() -> None:
    text = "id,name\n" + "".join(f"{n},somebody or other\n" for n in range(1000))
    for estimator in (ESTIMATOR, WordEstimator()):
        chunks = chunk_records(text, max_tokens=200, estimator=estimator)
        assert all(170 < chunk.tokens <= 200 for chunk in chunks[:-1])


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("[" + ",".join("1" * 400_000) + "]", "json"),
        ("1\n" * 300_000, "jsonl"),
        ("a\n" + "1\n" * 300_000, "csv"),
        ("a\n" + '"' + "x\n" * 500_000 + '"\n', "csv"),
        ("a\n" + "\n" * 1_000_000 + "1\n", "csv"),
    ],
)
def test_hostile_data_takes_linear_time(text: str, format: RecordFormat) -> None:
    chunks = chunk_records(text, format=format, max_tokens=300, estimator=ESTIMATOR)
    assert "".join(text[chunk.start : chunk.end] for chunk in chunks) == text
