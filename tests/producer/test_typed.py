from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import pydantic
import pytest

from llmreq import ErrorCode, InvalidRequestError, Request, RequestFailedError
from llmreq.check.check import check_text
from llmreq.check.schemas import compile_schema
from llmreq.producer import typed
from llmreq.producer.columns import checked
from llmreq.producer.plain_types import MisfitError


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True)
class Part:
    name: str
    price: float
    parts: list[Part] = field(default_factory=list)


@dataclass
class Report:
    title: str
    count: int
    urgent: bool
    parts: list[Part]
    mood: Mood
    size: Literal["small", "large", 3]
    owner: Part | None
    labels: dict[str, int]
    note: str | None = None
    whatever: Any = None

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count is below nothing")


GOOD: dict[str, Any] = {
    "title": "Crane",
    "count": 2,
    "urgent": False,
    "parts": [{"name": "hook", "price": 3, "parts": [{"name": "pin", "price": 0.5}]}],
    "mood": "bad",
    "size": 3,
    "owner": None,
    "labels": {"a": 1},
}


@pytest.fixture(params=["with pydantic", "without pydantic"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Dataclasses mean the same whether Pydantic is there or not."""
    if request.param == "without pydantic":
        monkeypatch.setitem(sys.modules, "pydantic", None)
    typed._kept.cache_clear()
    yield request.param
    typed._kept.cache_clear()


def test_a_dataclass_comes_back_as_an_instance_of_itself(way: str) -> None:
    found = typed.answer_type(Report)
    assert check_text(_json(GOOD), schema=compile_schema(found.schema)).code is None
    assert found.read(GOOD) == Report(
        "Crane", 2, False, [Part("hook", 3.0, [Part("pin", 0.5)])], Mood.BAD, 3, None, {"a": 1}
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": None}, "title"),
        ({"count": 1.5}, "count"),
        ({"count": True}, "count"),
        ({"urgent": 1}, "urgent"),
        ({"parts": {}}, "parts"),
        ({"parts": [{"name": "hook"}]}, "parts[0].price"),
        ({"parts": [{"name": "hook", "price": 1, "colour": "red"}]}, "parts[0].colour"),
        (
            {"parts": [{"name": "hook", "price": 1, "parts": [{"name": 1, "price": 1}]}]},
            "parts[0].parts[0].name",
        ),
        ({"mood": "GOOD"}, "mood"),
        ({"size": "medium"}, "size"),
        ({"owner": {"name": "x"}}, "owner"),
        ({"labels": {"a": "b"}}, "labels.a"),
        ({"unasked": 1}, "unasked"),
    ],
)
def test_the_schema_of_a_dataclass_refuses_what_is_no_instance(
    way: str, change: dict[str, Any], field: str
) -> None:
    schema = compile_schema(typed.answer_type(Report).schema)
    verdict = check_text(_json({**GOOD, **change}), schema=schema)
    assert verdict.code is ErrorCode.SCHEMA_MISMATCH
    assert any(str(error["field"]).startswith(field) for error in verdict.errors)


def test_what_a_schema_cannot_say_is_one_error_with_every_fault(way: str) -> None:
    read = typed.answer_type(Report).read
    with pytest.raises(MisfitError, match="count is below nothing"):
        read({**GOOD, "count": -1})
    with pytest.raises(MisfitError) as raised:
        read({**GOOD, "title": 1, "parts": [{"name": "x", "price": "free?"}]})
    assert {each.field for each in raised.value.misfits} == {"title", "parts[0].price"}


def test_without_pydantic_other_types_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Timed:
        at: list[datetime]

    Timed.__annotations__["at"] = list[datetime]
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(
        InvalidRequestError, match=r"an item of Timed\.at is of type datetime.*llmreq\[pydantic\]"
    ):
        typed.answer_type(Timed)


def test_with_pydantic_dates_and_decimals_are_read_as_such() -> None:
    class Bill(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid", strict=True)
        due: datetime
        total: Decimal = pydantic.Field(gt=0)

    Bill.model_rebuild(_types_namespace={"datetime": datetime, "Decimal": Decimal})
    found = typed.answer_type(Bill)
    assert found.schema["additionalProperties"] is False
    value = {"due": "2026-11-21T12:00:00Z", "total": "12.50"}
    assert check_text(_json(value), schema=compile_schema(found.schema)).code is None
    assert found.read(value).total == Decimal("12.50")


@pytest.mark.parametrize("model", ["Report", GOOD, Report(**GOOD), lambda: 1])
def test_what_is_no_type_is_refused(model: Any) -> None:
    with pytest.raises(InvalidRequestError, match="response_model must be"):
        checked({"content": "hi", "response_model": model})


def test_a_model_and_a_schema_together_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="not both"):
        checked({"content": "hi", "response_model": Report, "response_schema": {}})


def test_pydantic_is_not_imported_before_a_type_is_given() -> None:
    program = "import sys, llmreq; llmreq.Client; llmreq.AsyncClient; print('pydantic' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_a_functions_parameters_are_an_object_and_read_as_its_arguments(way: str) -> None:
    def move(crane: str, metres: int = 1, *, mood: Mood = Mood.GOOD, **more: object) -> None:
        """Move it."""

    move.__annotations__ |= {"crane": str, "metres": int, "mood": Mood}
    found = typed.parameters_type(move)
    assert found.schema["required"] == ["crane"]
    assert found.read({"crane": "old", "mood": "bad"}) == {"crane": "old", "metres": 1, "mood": Mood.BAD}
    with pytest.raises(MisfitError, match="crane"):
        found.read({"metres": 2})


def answered(**columns: Any) -> Request:
    """A request that ended, as far as its answer goes."""
    defaults = {"id": 1, "status": "completed", "tools": None, "response": "{}", "parsed_response": GOOD}
    row = dict.fromkeys(Request.__dataclass_fields__) | defaults | columns
    return Request.from_row(row)


def test_an_answer_is_read_as_the_model() -> None:
    assert answered().parsed_as(Report).mood is Mood.BAD


@pytest.mark.parametrize(
    ("columns", "code", "said"),
    [
        ({"status": "failed", "error_code": "refused", "error_message": "no"}, ErrorCode.REFUSED, "no"),
        ({"parsed_response": {**GOOD, "count": -1}}, ErrorCode.SCHEMA_MISMATCH, "below nothing"),
        ({"parsed_response": None, "response": "I cannot"}, ErrorCode.SCHEMA_MISMATCH, "prose"),
        (
            {"tools": [{}], "parsed_response": {"tool_calls": [{}], "final_response": None}},
            ErrorCode.SCHEMA_MISMATCH,
            "tools",
        ),
    ],
)
def test_an_answer_that_is_no_instance_is_one_clear_error(
    columns: dict[str, Any], code: ErrorCode, said: str
) -> None:
    with pytest.raises(RequestFailedError, match=said) as raised:
        answered(**columns).parsed_as(Report)
    assert raised.value.code is code


def test_an_answer_that_is_not_there_yet_is_no_failure() -> None:
    with pytest.raises(InvalidRequestError, match="has not ended"):
        answered(status="processing").parsed_as(Report)


def _json(value: Any) -> str:
    return str(checked({"content": "x", "context": {"v": value}})["context"])[len('{"v":') : -1]
