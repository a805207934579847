"""What waits for a budget: its decision is made again whenever the budget's room changes, and nobody stands in another's way."""

from __future__ import annotations

from decimal import Decimal

import psycopg
import pytest

from tests.engine.queue import Queue, Row
from tests.engine.test_budgets import budget, upper_bound

SMALL = {"content": "x", "params": {"max_output_tokens": 1}}
LARGE = {"content": "x", "params": {"max_output_tokens": 60_000}}


def work_off(queue: Queue, worker: int, **facts: int) -> list[Row]:
    """Claims and answers, each at its whole bound, until nothing moves."""
    done: list[Row] = []
    while claims := queue.claim(worker, 50):
        for claim in claims:
            queue.finish(worker, claim, **facts)
        done += claims
        queue.advance(milliseconds=100)
    return done


@pytest.mark.parametrize(
    ("on_exhausted", "end"), [("fail", "failed"), ("degrade", "pending"), ("wait", "pending")]
)
def test_what_waited_beside_a_hold_is_decided_again_when_the_money_is_spent(
    queue: Queue, on_exhausted: str, end: str
) -> None:
    hold = upper_bound(queue, **SMALL)
    rows = [queue.insert(**SMALL) for _ in range(4)]
    budget(queue, limit_usd=hold * Decimal("1.5"), on_exhausted=on_exhausted)
    worker = queue.worker("openai")
    (first,) = queue.claim(worker, 10)
    assert [queue.request(row)["wait_reason"] for row in rows].count("budget") == 3
    queue.finish(worker, first, billed="upper_bound")
    assert queue.claim(worker, 10) == []
    others = [queue.request(row) for row in rows if row["id"] != first["id"]]
    assert {row["status"] for row in others} == {end}
    expected = {"fail": ("budget_exceeded", None), "degrade": (None, None), "wait": (None, "budget")}[
        on_exhausted
    ]
    assert {(row["error_code"], row["wait_reason"]) for row in others} == {expected}
    assert {row["lane"] for row in others} == {
        "local/rules" if on_exhausted == "degrade" else "openai/gpt-6-luna"
    }


def test_many_that_need_much_hide_nobody_that_needs_little(queue: Queue) -> None:
    small = upper_bound(queue, **SMALL)
    big = upper_bound(queue, **LARGE)
    blocker = queue.insert(**LARGE)
    worker = queue.worker()
    queue.claim_one(worker)
    for _ in range(120):
        queue.insert(**LARGE)
    few = [queue.insert(**SMALL) for _ in range(5)]
    budget(queue, limit_usd=big + 10 * small)
    claimed: list[Row] = []
    for _ in range(20):
        claimed += queue.claim(worker, 50)
        queue.advance(milliseconds=100)
    assert {claim["id"] for claim in claimed} == {row["id"] for row in few}
    for claim in claimed:
        queue.finish(worker, claim)
    assert queue.request(blocker)["status"] == "processing"


def test_a_tenant_with_few_is_not_held_up_by_one_with_many_behind_a_shared_budget(queue: Queue) -> None:
    hold = upper_bound(queue, **SMALL)
    for _ in range(300):
        queue.insert(tenant_id="crowd", **SMALL)
    budget(queue, limit_usd=hold * 4)
    worker = queue.worker()
    assert len(queue.claim(worker, 50)) == 4
    few = [queue.insert(tenant_id="few", **SMALL) for _ in range(6)]
    queue.claim(worker, 50)
    turns = 0
    while any(queue.request(row)["status"] != "completed" for row in few):
        turns += 1
        assert turns < 12, "two of four places are theirs in every turn"
        running = queue.all(
            "SELECT id, claim_seq, claimed_at, 1 AS max_output_tokens FROM llm_requests WHERE status = 'processing'"
        )
        for claim in running:
            queue.finish(worker, claim, input_tokens=0, output_tokens=0)
        queue.claim(worker, 50)
        queue.advance(milliseconds=100)


def test_a_limit_that_was_lowered_ends_what_it_can_never_bear(queue: Queue) -> None:
    hold = upper_bound(queue, **SMALL)
    row = budget(queue, limit_usd=hold * Decimal("1.5"))
    first, second = queue.insert(**SMALL), queue.insert(**SMALL)
    worker = queue.worker()
    claim = queue.claim_one(worker)
    queue.run("UPDATE llm_budgets SET limit_usd = %s WHERE id = %s", hold / 2, row["id"])
    queue.claim(worker)
    ends = {queue.request(each)["status"] for each in (first, second)}
    assert ends == {"processing", "failed"}
    queue.finish(worker, claim)


@pytest.mark.parametrize("on_exhausted", ["fail", "degrade", "wait"])
def test_when_the_money_is_gone_a_drained_queue_holds_nothing_but_what_may_wait(
    queue: Queue, on_exhausted: str
) -> None:
    hold = upper_bound(queue, **SMALL)
    budget(queue, limit_usd=hold * 5, on_exhausted=on_exhausted)
    for n in range(40):
        queue.insert(**(SMALL if n % 3 else LARGE), tenant_id=f"t{n % 4}")
    worker = queue.worker("openai", "local/rules")
    for _ in range(30):
        for claim in queue.claim(worker, 7):
            if claim["lane"] == "local/rules":
                queue.finish(worker, claim, input_tokens=0, output_tokens=0)
            else:
                queue.finish(worker, claim, billed="upper_bound")
        queue.advance(milliseconds=100)
    left = queue.one("SELECT * FROM llmreq_left()")
    assert (left["running"], left["movable"]) == (0, 0)
    spent = queue.one("SELECT spent_usd, limit_usd FROM llm_budgets")
    assert spent["limit_usd"] >= spent["spent_usd"] > spent["limit_usd"] - hold
    if on_exhausted != "wait":
        assert queue.all("SELECT * FROM llm_requests WHERE status = 'pending'") == []


@pytest.mark.parametrize("subject", ["gpt-4o-mini", "openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
def test_a_models_budget_covers_its_dated_snapshots(queue: Queue, subject: str) -> None:
    budget(queue, "model", subject, limit_usd="0.000000000001")
    row = queue.insert(provider="openai", model="gpt-4o-mini-2024-07-18")
    other = queue.insert(provider="openai", model="gpt-6-luna")
    assert [claim["id"] for claim in queue.claim(queue.worker())] == [other["id"]]
    assert queue.request(row)["error_code"] == "budget_exceeded"


def test_a_budget_of_a_pattern_is_refused_with_what_to_name(queue: Queue) -> None:
    with pytest.raises(psycopg.Error, match="patterns are not matched"):
        budget(queue, "model", "gpt-4*", limit_usd=1)


def test_a_routed_request_whose_candidate_no_budget_lets_run_goes_to_the_next_one(queue: Queue) -> None:
    queue.run("DELETE FROM llm_routes")
    queue.run("INSERT INTO llm_routes (candidates) VALUES ('{openai/gpt-6-luna,anthropic/claude-haiku-4-5}')")
    budget(queue, "provider", "openai", limit_usd="0.000000000001")
    worker = queue.worker()
    row = queue.one("INSERT INTO llm_requests (content) VALUES ('hi') RETURNING *")
    assert queue.claim(worker) == []
    assert [claim["lane"] for claim in queue.claim(worker)] == ["anthropic/claude-haiku-4-5"]
    moved = queue.request(row)
    assert (moved["status"], moved["error_code"], moved["route_position"]) == ("processing", None, 2)
