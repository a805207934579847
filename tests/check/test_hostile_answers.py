"""Nothing a model or a schema says may stall a worker. The bounds only tell seconds from for ever."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from llmreq.check.check import Checked, check_text
from llmreq.check.schemas import compile_schema
from llmreq.errors import ErrorCode
from llmreq.limits import BACKTRACKING_CHARS

MEGA = 1_000_000
OBJECT = compile_schema({"type": "object"})


def _within(seconds: float, work: Callable[[], Checked]) -> Checked:
    done: list[Checked] = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert done, f"not done after {seconds} s"
    return done[0]


def _matched(pattern: str, text: str) -> Checked:
    schema = compile_schema({"pattern": pattern})
    return _within(20, lambda: check_text(json.dumps(text), schema=schema))


HOSTILE = {
    "braces": "{" * 5 * MEGA,
    "alternating": "{[" * (5 * MEGA // 2),
    "empty lists": "x " + "[]" * (5 * MEGA // 2),
    "notes": "x [a]" * MEGA,
    "quotes": '"' * 5 * MEGA,
    "escaped quotes": '{"' + '\\"' * (5 * MEGA // 2),
    "fences": "```" * (5 * MEGA // 3),
    "half objects": 'x [{"a":' * (5 * MEGA // 8),
    "spaces": "x{" + " " * 5 * MEGA + "x",
    "lines": "\n" * 5 * MEGA + "{",
    "deep strings": "[" * 600 + '"' + '\\"' * (5 * MEGA // 2),
    "deep and closed": "[" * 600 + json.dumps('\\"' * MEGA) + "]" * 600,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_five_hostile_megabytes_are_refused_in_linear_time(text: str) -> None:
    assert _within(20, lambda: check_text(text, schema=OBJECT)).code == ErrorCode.MALFORMED_JSON


def test_the_classic_pathological_pattern_is_just_a_mismatch() -> None:
    (error,) = _matched("^(a+)+$", "a" * 5000 + "!").errors
    assert (error["rule"], error["message"]) == ("pattern", 'must match pattern "^(a+)+$"')


def test_look_around_works_and_its_step_limit_is_an_error_of_its_own() -> None:
    strong = r"^(?=.*[A-Z])(?=.*\d).{8,}$"
    assert _matched(strong, "Passw0rdPassw0rd").code is None
    assert _matched(strong, "password").errors[0]["message"].startswith("must match pattern")
    text = "".join(random.Random(1).choices("ab", k=20_000))
    (error,) = _matched(r"(?=(a|b)*c)x", text).errors
    assert error["message"] == "could not be matched against its pattern within the step limit"


def test_text_too_long_for_a_costly_pattern_is_told_and_not_tried() -> None:
    (error,) = _matched(r"(?=(a|b)*c)x", "a" * (BACKTRACKING_CHARS + 1)).errors
    assert "more text than its patterns" in error["message"]
    assert _matched(r"^\d{4}-\d\d-\d\d$", "a" * MEGA).errors[0]["message"].startswith("must match")


def _nested_lists(levels: int, inside: Any) -> Any:
    for _ in range(levels):
        inside = [inside]
    return inside


def _nested(levels: int, inside: Any) -> Any:
    for _ in range(levels):
        inside = {"op": "or", "x": inside}
    return inside


def test_nested_choices_do_not_multiply() -> None:
    branches = [
        {"type": "object", "properties": {"op": op, "x": {"$ref": "#"}}, "required": ["op", "x"]}
        for op in ({"const": "or"}, {"enum": ["and", "or"]}, {"type": "string"})
    ]
    schema = compile_schema({"anyOf": [*branches, {"type": "integer"}]})
    (error,) = _within(20, lambda: check_text(json.dumps(_nested(400, "bad")), schema=schema)).errors
    assert error["rule"] == "anyOf"


def test_a_million_errors_cost_no_more_than_finding_the_first_thousand() -> None:
    schema = compile_schema({"items": {"type": "string"}})
    assert len(_within(20, lambda: check_text(json.dumps([1] * MEGA), schema=schema)).errors) == 101


def test_one_error_deep_inside_five_megabytes_is_found() -> None:
    value = [[{"l": [1, 2, 3]}] * 300_000 + [{"l": [1, _nested_lists(50, "x")]}]]
    again = {"$ref": "#"}
    schema = compile_schema(
        {"type": ["array", "object", "integer"], "items": again, "properties": {"l": again}}
    )
    (error,) = _within(20, lambda: check_text(json.dumps(value), schema=schema)).errors
    assert error["field"] == "[0][300000].l[1]" + "[0]" * 50


def test_a_large_value_deep_below_is_reported_no_deeper_than_is_cheap() -> None:
    value = json.dumps([1] * MEGA + ["x"])
    schema = compile_schema({"type": ["array", "integer"], "items": {"$ref": "#"}})
    checked = _within(20, lambda: check_text("[" * 400 + value + "]" * 400, schema=schema))
    assert checked.errors[0]["message"] == "must match its schema"
