from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.check.decode import decode, storable_json, storable_text
from llmreq.limits import MAX_JSON_DEPTH

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(any_json)
def test_every_json_value_is_decoded_to_itself(value: Any) -> None:
    decoded = decode(json.dumps(value))
    assert decoded.error is None
    assert decoded.value == value
    assert json.dumps(decoded.value) == json.dumps(value)


@given(st.integers(min_value=10**17), st.booleans())
def test_integers_above_64_bits_stay_exact(number: int, negative: bool) -> None:
    wanted = -number if negative else number
    value = decode(f'{{"n": {wanted}}}').value["n"]
    assert type(value) is int
    assert value == wanted


def test_an_error_has_exactly_the_shape_of_the_contract() -> None:
    assert decode('{"é": 1,\n "b": tru}').error == {
        "type": "json_decode_error",
        "field": None,
        "message": "invalid literal, expected 'true'",
        "position": 15,
        "line": 2,
        "column": 7,
        "response_preview": '{"é": 1,\n "b": tru}',
    }
    long = decode("x" * 500).error
    assert long is not None
    assert long["response_preview"] == "x" * 100


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("[NaN]", 1),
        ("[-Infinity]", 1),
        ("[1e999]", 1),
        ('["\ud800"]', 2),
        ('["\\ud800"]', 2),
        ("", 0),
        ("[1] [2]", 4),
        ("[1," * 5000, 3072),
    ],
)
def test_what_is_no_strict_json_is_refused_with_its_place(text: str, position: int) -> None:
    error = decode(text).error
    assert error is not None
    assert abs(error["position"] - position) <= 3
    orjson.dumps(error)  # storable: no lone surrogate is carried along


def test_nesting_is_bounded_and_the_place_is_where_it_went_too_deep() -> None:
    brackets_in_a_string = json.dumps("[" * 2000)
    assert decode(brackets_in_a_string).error is None
    assert decode("[" * MAX_JSON_DEPTH + "]" * MAX_JSON_DEPTH).error is None
    too_deep = decode('["\\"[[",' + "[" * MAX_JSON_DEPTH + "]" * MAX_JSON_DEPTH + "]").error
    assert too_deep is not None
    assert too_deep["position"] == len('["\\"[[",') + MAX_JSON_DEPTH - 1


def test_large_integers_keep_the_rest_of_the_text_strict() -> None:
    assert decode('[12345678901234567890, "\\u00e9", 1.5]').value == [12345678901234567890, "é", 1.5]
    assert decode("[12345678901234567890, NaN]").error is not None
    assert (
        decode("[" + "9" * 400 + "]").error is not None
    )  # past what any number type of jsonb's readers holds


def test_the_last_of_two_equal_keys_wins() -> None:
    assert decode('{"a": 1, "a": 2}').value == {"a": 2}


def test_text_is_made_storable_and_says_so() -> None:
    assert storable_text("a\x00b\ud800c") == ("a�b�c", True)
    assert storable_text("plain \\u0000") == ("plain \\u0000", False)


@given(any_json)
def test_storable_values_hold_no_nul_and_nothing_is_dropped(value: Any) -> None:
    before = json.dumps(value)
    clean, changed = storable_json(value)
    assert "\\u0000" not in json.dumps(clean).replace("\\\\", "")
    assert (changed == 0) == (clean == value)
    assert json.dumps(value) == before
    assert storable_json({"a\x00": 1, "a�": 2, "a": ["\x00"]}) == ({"a��": 1, "a�": 2, "a": ["�"]}, 2)
