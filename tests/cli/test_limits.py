from __future__ import annotations

import pytest

from tests.cli.conftest import Run, documents
from tests.engine.queue import Queue


def test_limits_are_set_listed_and_taken_away(run: Run, queue: Queue) -> None:
    (row,) = documents(
        run("limits", "set", "openai/gpt-6-luna", "--rpm", "5000", "--tpm", "2M", "--margin", "0.8", "--json")
    )
    assert (row["requests_per_minute"], row["tokens_per_minute"], row["safety_margin"]) == (
        5000,
        2_000_000,
        0.8,
    )
    run("limits", "set", "openai/gpt-6-luna", "--rpm", "none", "--itpm", "30k")
    (listed,) = documents(run("limits", "list", "--json"))[0]["lanes"]
    assert (listed["requests_per_minute"], listed["input_tokens_per_minute"]) == (None, 30_000)
    shown = run("limits", "list").stdout
    assert "openai/gpt-6-luna" in shown
    assert "2,000,000" in shown


def test_a_tier_sets_what_the_vendor_documents_and_options_beside_it_win(run: Run) -> None:
    (row,) = documents(run("limits", "set", "anthropic/*", "--tier", "anthropic-2", "--rpm", "900", "--json"))
    assert (row["lane"], row["requests_per_minute"], row["input_tokens_per_minute"], row["output_tokens_per_minute"]) == (
        "anthropic/*", 900, 450_000, 90_000,
    )  # fmt: skip


def test_calls_under_way_count_towards_a_providers_new_limit(run: Run, queue: Queue) -> None:
    queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    (row,) = documents(run("limits", "set", "openai/*", "--in-flight", "1", "--json"))
    assert row["max_in_flight"] == 1
    assert queue.lane("openai/*")["in_flight"] == 1
    queue.insert()
    assert queue.claim(worker) == []
    queue.finish(worker, claim)
    assert len(queue.claim(worker)) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["set", "openai/x"], "nothing to set"),
        (["set", "openai", "--rpm", "5"], "'openai' is no lane"),
        (["set", "openai/x", "--rpm", "0"], "no whole number above 0"),
        (["set", "openai/x", "--rpm", "fast"], "no whole number above 0"),
        (["set", "openai/x", "--rpm", "1e400000"], "the largest number here"),
        (["set", "openai/x", "--rpm", "2000b"], "from 0.000001 to 1,000,000,000,000"),
        (["set", "openai/x", "--margin", "nan"], "'nan' is no number"),
        (["set", "openai/x", "--margin", "1.5"], "safety_margin must be from 0.001 to 1, not 1.5"),
        (["set", "openai/x", "--burst", "inf"], "'inf' is no number"),
        (["set", "openai/x", "--burst", "\x1b[2J"], "is no number"),
        (["tenant", "acme", "--weight", "heavy"], "'heavy' is no number"),
        (["tenant", "acme", "--weight", "1e-320"], "a weight must be from 0.001"),
        (["set", "openai/x", "--tier", "gold"], "there is no tier 'gold'"),
        (["tenant", "acme", "--weight", "-1"], "a weight must be from 0.001 to 1,000,000"),
        (["pause"], "name one"),
        (["pause", "openai/x", "--all"], "name one"),
    ],
)
def test_a_wrong_limit_is_one_clear_line(run: Run, arguments: list[str], says: str) -> None:
    result = run("limits", *arguments)
    assert result.exit_code in (1, 2)
    assert says in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("target", [["openai/gpt-6-luna"], ["openai/*"], ["--tenant", "default"], ["--all"]])
def test_pausing_stops_new_calls_and_resuming_starts_them(run: Run, queue: Queue, target: list[str]) -> None:
    queue.insert()
    worker = queue.worker()
    assert "paused" in run("limits", "pause", *target).stderr
    assert queue.claim(worker) == []
    assert "resumed" in run("limits", "resume", *target).stderr
    assert len(queue.claim(worker)) == 1


def test_a_weight_is_kept_when_the_tenant_is_paused(run: Run) -> None:
    run("limits", "tenant", "acme", "--weight", "2.5")
    run("limits", "pause", "--tenant", "acme")
    assert documents(run("limits", "list", "--json"))[0]["tenants"] == [
        {"tenant_id": "acme", "weight": 2.5, "paused": True}
    ]
