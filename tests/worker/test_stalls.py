"""Hostile answers and enormous rows take nobody else's time, and no more memory than a few times their own size."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.worker.hostile import Hostile

ALLOWED_WORK_SECONDS = 0.25
"""Of the event loop's own thread, in one go. Alone on a machine it is below STALL_BUDGET_SECONDS; CI has two busy cores."""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, str]]:
    with Hostile() as hostile, Hostile() as fine:
        yield hostile.base_url, fine.base_url


def seen(servers: tuple[str, str], scene: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.stalls", *servers, scene],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    print(scene, {name: value for name, value in found.items() if name not in ("hostile", "innocent")})
    assert found["innocent"] == ["completed"]
    assert found["work_seconds"] < ALLOWED_WORK_SECONDS
    assert found["stall_seconds"] < 2.0
    return found


def test_thirty_megabytes_of_every_kind_hold_up_nobody(servers: tuple[str, str]) -> None:
    found = seen(servers, "answers")
    ends = {lane.removeprefix("openai/"): (outcome, billed) for lane, outcome, billed in found["hostile"]}
    assert ends == {
        "deep": ("malformed_json", "usage"),
        "endless_names": ("completed", "usage"),
        "large_json": ("malformed_json", "usage"),  # more values than Postgres should hold
        "large_text": ("completed", "usage"),
        "numbers": ("malformed_json", "usage"),
        "odd_refusal": ("refused", "usage"),
        "odd_tool": ("schema_mismatch", "usage"),
        "schema": ("malformed_json", "usage"),
        "tools": ("completed", "usage"),
        "wide_envelope": ("provider_unavailable", "upper_bound"),
    }
    assert found["grown_megabytes"] < 1_000


def test_enormous_schemas_and_prompts_hold_up_nobody_and_are_sent(servers: tuple[str, str]) -> None:
    found = seen(servers, "rows")
    assert {(lane, outcome) for lane, outcome, _ in found["hostile"]} == {
        ("openai/content", "completed"),
        ("openai/turns", "completed"),
        ("openai/schema", "completed"),
    }
    assert found["grown_megabytes"] < 5 * found["payload_megabytes"]


def test_a_costly_pattern_holds_up_nobody(servers: tuple[str, str]) -> None:
    found = seen(servers, "costly")
    assert {outcome for _, outcome, _ in found["hostile"]} <= {"malformed_json", "schema_mismatch"}
