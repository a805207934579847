"""Splits data into chunks of whole records: a JSON array's elements, JSON lines, CSV rows.

Every chunk's text stands on its own: a JSON array again, lines, or rows under the header.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

from llmreq.text.ruler import Ruler
from llmreq.text.tokens import TokenEstimator

RecordFormat = Literal["json", "jsonl", "csv"]

_BOM = "\ufeff"
_SPACE = re.compile(r"[ \t\r\n]*")
_LINE = re.compile(r"[^\n]*")
# Only single signs repeat possessively: on groups Python before 3.11.5 matches wrongly (cpython 106052).
_BLANK_LINES = re.compile(r"(?:[ \t]*+\r*+\n)*(?:[ \t\r]*+\Z)?")
_BLANK_ROWS = re.compile(r"(?: *+(?:\r\n?|\n))*(?: *+\Z)?")
_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class RecordChunk:
    """Records `first_record` (from 0) to `first_record + records - 1`, which text[start:end] of the source holds.

    The slices join to the source. `text` stands on its own and has `tokens`; `oversized` marks a single record with more of
    them than allowed. A source without records is one chunk with `records` 0.
    """

    index: int
    start: int
    end: int
    text: str
    first_record: int
    records: int
    tokens: int
    oversized: bool


@dataclass(frozen=True, slots=True)
class _Records:
    """Where the records start and end in the source, and what a chunk's text has around them."""

    starts: list[int]
    ends: list[int]
    before: str = ""
    after: str = ""

    def body(self, text: str, first: int, behind: int) -> str:
        inside = text[self.starts[first] : self.ends[behind - 1]] if behind > first else ""
        return f"{self.before}{inside}{self.after}"


def chunk_records(
    text: str, *, format: RecordFormat | None = None, max_tokens: int, estimator: TokenEstimator
) -> list[RecordChunk]:
    """Chunks of at most `max_tokens` by the estimator's count, never cut within a record; a record too large stands alone.

    Without `format` the text is told by its beginning: an array, lines of objects or arrays, else CSV with a header. A BOM,
    CRLF and blank lines are taken as they come. Raises ValueError, naming record and offset (both from 0), for what is not
    such data.
    """
    if max_tokens < 1:
        raise ValueError("max_tokens must be at least 1")
    if format is not None and format not in _READERS:
        raise ValueError(f"format must be json, jsonl or csv, not {format!r}")
    if not text:
        return []
    found = _READERS[format or _detect(text)](text)
    return list(_pack(text, found, max_tokens, estimator))


def _pack(text: str, found: _Records, most: int, estimator: TokenEstimator) -> Iterator[RecordChunk]:
    """As many records as fit: about so many by the source's measure, then counted with what is around them."""
    ruler = Ruler(text, estimator)
    total = len(found.starts)
    if not total:
        body = found.body(text, 0, 0)
        tokens = estimator.estimate(body)
        yield RecordChunk(0, 0, len(text), body, 0, 0, tokens, tokens > most)
        return
    room = most - estimator.estimate(found.before + found.after)
    first = index = 0
    while first < total:
        _, reach, _ = ruler.limits(found.starts[first], max(1, room))
        behind = max(first + 1, bisect_right(found.ends, reach, first))
        while True:
            body = found.body(text, first, behind)
            tokens = estimator.estimate(body)
            if tokens <= most or behind == first + 1:
                break
            behind = first + max(1, min(behind - first - 1, (behind - first) * most // tokens))
        start = found.starts[first] if first else 0
        end = found.starts[behind] if behind < total else len(text)
        yield RecordChunk(index, start, end, body, first, behind - first, tokens, tokens > most)
        first, index = behind, index + 1


def _detect(text: str) -> RecordFormat:
    start = _beginning(text)
    if text.startswith("{", start):
        return "jsonl"
    if not text.startswith("[", start):
        return "csv"
    line = _LINE.match(text, start)
    assert line is not None, "a line may be empty"
    try:
        json.loads(line.group())
    except (ValueError, RecursionError):
        return "json"
    return "json" if _skip(text, line.end()) == len(text) else "jsonl"


def _read_json(text: str) -> _Records:
    at = _beginning(text)
    if not text.startswith("[", at):
        raise ValueError(f"JSON records are the elements of an array; at offset {at} there is none")
    found = _Records([], [], "[", "]")
    at = _skip(text, at + 1)
    if text.startswith("]", at):
        return _ended(text, found, at + 1)
    while True:
        end = _value(text, at, len(found.starts))
        found.starts.append(at)
        found.ends.append(end)
        at = _skip(text, end)
        if text.startswith("]", at):
            return _ended(text, found, at + 1)
        if not text.startswith(",", at):
            raise ValueError(
                f"record {len(found.starts) - 1}: neither a comma nor the array's end at offset {at}"
            )
        at = _skip(text, at + 1)


def _ended(text: str, found: _Records, at: int) -> _Records:
    if _skip(text, at) < len(text):
        raise ValueError(f"more text behind the array, at offset {_skip(text, at)}")
    return found


def _read_jsonl(text: str) -> _Records:
    starts: list[int] = []
    at = _skip_lines(text, 1 if text.startswith(_BOM) else 0, _BLANK_LINES)
    while at < len(text):
        line_end = text.find("\n", at)
        line_end = len(text) if line_end < 0 else line_end
        end = _value(text, _skip(text, at), len(starts))
        if end > line_end or text[end:line_end].strip(" \t\r"):
            wrong = min(end, line_end)
            raise ValueError(
                f"record {len(starts)}: a line is one JSON value, and does not end at offset {wrong}"
            )
        starts.append(at)
        at = _skip_lines(text, min(line_end + 1, len(text)), _BLANK_LINES)
    return _Records(starts, [*starts[1:], len(text)] if starts else [])


def _read_csv(text: str) -> _Records:
    at = _skip_lines(text, 1 if text.startswith(_BOM) else 0, _BLANK_ROWS)
    row = _row(_delimiter(text, at))
    rows: list[int] = []
    header = at
    while at < len(text):
        match = row.match(text, at)
        if match is None:
            where = "the header" if not rows else f"record {len(rows) - 1}"
            raise ValueError(f"{where}, from offset {at} on: a quoted field is never closed")
        rows.append(at)
        at = _skip_lines(text, match.end(), _BLANK_ROWS)
    rows.append(len(text))
    if len(rows) <= 2:
        return _Records([], [], text[header:])
    return _Records(rows[1:-1], rows[2:], text[rows[0] : rows[1]])


def _delimiter(text: str, at: int) -> str:
    """The sign that parts most fields of the header."""
    line = _LINE.match(text, at)
    bare = re.sub(r'"[^"]*"?', "", line.group() if line else "")
    return max(_DELIMITERS, key=bare.count)


def _row(delimiter: str) -> re.Pattern[str]:
    """A row to its line's end; a quote opens a field only at the field's start."""
    between = re.escape(delimiter)
    # The quote that ends a field stands before no other: so a pair is never taken apart.
    field = rf'(?:"(?:[^"]++|"")*"(?!")[^{between}\r\n]*+|[^{between}"\r\n][^{between}\r\n]*+)?'
    return re.compile(rf"{field}(?:{between}{field})*(?:\r\n?|\n|\Z)")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# Numbers are checked, not made: one of a million digits is no harm.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)


def _value(text: str, at: int, record: int) -> int:
    """Where the JSON value that begins at `at` ends."""
    try:
        return _DECODER.raw_decode(text, at)[1]
    except json.JSONDecodeError as error:
        raise ValueError(f"record {record}: {error.msg} at offset {error.pos}") from None
    except ValueError as error:
        raise ValueError(f"record {record}, from offset {at} on: {error}") from None
    except RecursionError:
        raise ValueError(f"record {record}, from offset {at} on: nested too deeply") from None


def _beginning(text: str) -> int:
    return _skip(text, 1 if text.startswith(_BOM) else 0)


def _skip(text: str, at: int) -> int:
    return _skip_lines(text, at, _SPACE)


def _skip_lines(text: str, at: int, blank: re.Pattern[str]) -> int:
    match = blank.match(text, at)
    return match.end() if match else at


_READERS: dict[RecordFormat, Callable[[str], _Records]] = {
    "json": _read_json,
    "jsonl": _read_jsonl,
    "csv": _read_csv,
}
