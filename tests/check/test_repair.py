from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.check.check import check_text
from llmreq.check.decode import decode
from llmreq.check.repair import peel
from llmreq.check.schemas import compile_schema
from llmreq.errors import ErrorCode
from tests.check.schema_strategies import values

ANYTHING = compile_schema(True)


@given(st.text(alphabet='`{}[]":,\\ \n\ufeffaj1', max_size=30) | st.text() | values.map(json.dumps))
def test_peeling_leaves_json_alone_and_keeps_every_other_text_in_one_piece(text: str) -> None:
    peeled = peel(text)
    assert text[peeled.offset : peeled.offset + len(peeled.text)] == peeled.text
    if decode(text).error is None:
        assert (peeled.text, peeled.repairs) == (text, ())


@given(
    st.dictionaries(st.text(), values), st.sampled_from(["", "json", "JSON"]), st.sampled_from(["\n", "\r\n"])
)
def test_a_fence_is_peeled_and_recorded(value: Any, language: str, newline: str) -> None:
    peeled = peel(f"\ufeff```{language}{newline}{json.dumps(value)}{newline}```\n")
    assert decode(peeled.text).value == value
    assert [repair["type"] for repair in peeled.repairs] == ["bom", "fence"]


def test_prose_around_one_value_is_peeled_and_recorded() -> None:
    peeled = peel('Sure [sic], {name}:\n```json\n{"a": "} {"}\n```\nHope it helps!')
    assert peeled.text == '{"a": "} {"}'
    assert peeled.repairs == (
        {
            "type": "surrounding_text",
            "before": "Sure [sic], {name}:\n```json\n",
            "after": "\n```\nHope it helps!",
        },
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1} {"a": 2}',
        'first {"a": 1} then [2]',
        '```json\n{"a": 1}\n```\nor\n```json\n{"a": 2}\n```',
        'Here: {"a": [1, 2], broken}',
        "Here: {items: [1, 2]}",
        'Here: [[1, 2], {"a": 3}',
        'Here: {"a": {"b": 1}, "c": ',
        '{"a": oops} but {"b": 1}',
    ],
)
def test_a_part_is_never_taken_for_the_answer(text: str) -> None:
    assert check_text(text, schema=ANYTHING).code == ErrorCode.MALFORMED_JSON
    assert not any(repair["type"] == "surrounding_text" for repair in peel(text).repairs)


def test_places_of_errors_refer_to_the_whole_answer() -> None:
    text = '```json\n{"a": 1,\n "b": oops}\n```'
    (error,) = check_text(text, schema=ANYTHING).errors
    assert text[error["position"]] == "o"
    assert (error["line"], error["column"]) == (3, 7)
    assert error["response_preview"] == text


def test_nothing_is_recorded_where_nothing_was_peeled() -> None:
    text = r'{"text": "a\ud800"}'  # Python's parser takes it, strict JSON does not
    assert peel(text).repairs == ()
    checked = check_text(text)
    assert (checked.code, checked.repairs) == (ErrorCode.MALFORMED_JSON, ())
