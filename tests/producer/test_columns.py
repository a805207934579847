from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmreq.errors import ErrorCode, InvalidRequestError
from llmreq.producer.columns import checked

QUESTION = {"content": "hi"}


@dataclass
class Column:
    name: str


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values))
def test_json_comes_back_as_it_went_unless_postgres_could_not_store_it(context: dict[str, Any]) -> None:
    try:
        text = checked({**QUESTION, "context": context})["context"]
    except InvalidRequestError:
        assert "\0" in repr_of_strings(context)
    else:
        assert json.loads(str(text)) == context
        assert "\0" not in repr_of_strings(context)


def repr_of_strings(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(key + repr_of_strings(inner) for key, inner in value.items())
    return "".join(map(repr_of_strings, value)) if isinstance(value, list) else ""


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({}, "holds no question"),
        ({"messages": []}, None),
        ({"messages": "hello"}, "messages: must be a list"),
        ({**QUESTION, "modle": "x"}, "modle: no such column"),
        ({**QUESTION, "priority": 10}, "priority: must be from 0 to 9"),
        ({**QUESTION, "priority": True}, "priority: must be a whole number"),
        ({**QUESTION, "complexity": "hard"}, "complexity: must be one of simple, medium, complex"),
        ({**QUESTION, "params": {"temperature": float("nan")}}, "params: "),
        ({**QUESTION, "content": "a\0b"}, "content: holds a NUL"),
        ({**QUESTION, "tenant_id": "x" * 501}, "tenant_id: has 501 bytes; at most 500"),
        ({**QUESTION, "task_type": "ü" * 201}, "task_type: has 402 bytes; at most 400"),
        ({**QUESTION, "expires_at": "2026-01-31T12:00:00"}, "expires_at: needs a time zone"),
        ({**QUESTION, "run_id": "not-a-uuid"}, "run_id: "),
        ({**QUESTION, "context": {"x": object()}}, "context: "),
        ({**QUESTION, "content": "\ud800"}, "content: "),
    ],
)
def test_a_wrong_column_is_named_with_what_it_may_be(columns: dict[str, Any], problem: str | None) -> None:
    if problem is None:
        assert checked(columns) == {"messages": "[]"}  # the database says what is wrong with an empty list
        return
    with pytest.raises(InvalidRequestError) as raised:
        checked(columns)
    assert problem in raised.value.message


def test_none_leaves_a_column_to_its_default() -> None:
    assert checked({**QUESTION, "priority": None, "tenant_id": None}) == QUESTION


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"n": 2**70}, '{"n":1180591620717411303424}'),
        ({1: None}, '{"1":null}'),
        ({"id": UUID(int=1)}, '{"id":"00000000-0000-0000-0000-000000000001"}'),
        ({"id": UUID(int=1), "x": None}, '{"id":"00000000-0000-0000-0000-000000000001","x":null}'),
        ({"code": ErrorCode.REFUSED, "x": None}, '{"code":"refused","x":null}'),
        ({"list": (1, 2)}, '{"list":[1,2]}'),
    ],
)
def test_both_encoders_take_the_same_values(value: dict[Any, Any], text: str) -> None:
    assert checked({**QUESTION, "context": value})["context"] == text


@pytest.mark.parametrize(
    "value", [datetime(2026, 1, 31, tzinfo=UTC), float("-inf"), {1, 2}, b"x", Column("x")]
)
@pytest.mark.parametrize("beside", [0, None])
def test_what_is_no_json_is_refused_by_both_encoders(value: object, beside: object) -> None:
    with pytest.raises(InvalidRequestError, match="context: "):
        checked({**QUESTION, "context": {"v": value, "beside": beside}})
