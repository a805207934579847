"""Answers that take long to judge are judged beside the event loop, with the same verdict."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from llmreq.wire.outcome import Answer, ToolCall
from llmreq.worker import side_check
from llmreq.worker.checking import Checking, expectation
from llmreq.worker.engine import Claim
from llmreq.worker.outcome_fields import encode
from llmreq.worker.verdict import verdict

LARGE = "x" * 100_000
COSTLY = {"type": "object", "properties": {"text": {"type": "string", "pattern": "^(a+)+$(?!b)"}}}


@pytest.mark.parametrize(
    ("columns", "answer"),
    [
        ({}, Answer(orjson.dumps([LARGE, 2**70 % 2**60]).decode())),
        ({}, Answer(f'{{"a": "{LARGE}", "n": {2**70}}}')),
        ({"response_schema": {"type": "object"}}, Answer(orjson.dumps([LARGE]).decode())),
        ({}, Answer('{"broken": "' + LARGE)),
        ({"response_schema": COSTLY}, Answer(orjson.dumps({"text": "a" * 300}).decode())),
        (
            {"tools": [{"name": "save", "parameters": {"type": "object", "required": ["id"]}}]},
            Answer(None, (ToolCall("1", "save", {"text": LARGE}),)),
        ),
    ],
    ids=["list", "large integer", "schema", "broken", "pattern", "tool call"],
)
def test_an_answer_judged_aside_gets_the_verdict_it_would_get_in_place(
    columns: dict[str, Any], answer: Answer
) -> None:
    claim = _claim(**columns)
    (aside,), was_aside = asyncio.run(_judge(claim, answer))
    assert was_aside
    assert orjson.loads(encode(aside)) == orjson.loads(encode(verdict(answer, expectation(claim))))


def test_a_small_answer_needs_no_process() -> None:
    (facts,), was_aside = asyncio.run(_judge(_claim(), Answer('{"a": 1}')))
    assert (facts["outcome"], was_aside) == ("completed", False)


def test_a_check_without_end_is_cut_and_the_next_one_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = iter((0.0, 60.0))
    monkeypatch.setattr(
        side_check.asyncio, "timeout", lambda _seconds, real=asyncio.timeout: real(next(limits))
    )
    answer = Answer(f'["{LARGE}"]')
    (cut, judged), _ = asyncio.run(_judge(_claim(), answer, answer))
    assert (cut["outcome"], cut["validation_errors"][0]["rule"]) == ("schema_mismatch", "time")
    assert cut["response"] == answer.text
    assert judged["outcome"] == "completed"


async def _judge(claim: Claim, *answers: Answer) -> tuple[list[dict[str, Any]], bool]:
    """The facts of each answer, and whether the process beside was needed."""
    checking = Checking()
    try:
        facts = [await checking.facts(claim, answer, expectation(claim)) for answer in answers]
        return facts, checking._side._process is not None
    finally:
        await checking.close()


def _claim(**columns: Any) -> Claim:
    return Claim(**{**dict.fromkeys(Claim._fields, None), "allow_text": False, **columns})
