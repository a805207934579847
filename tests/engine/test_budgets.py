"""A cap is never passed, refuses nobody falsely, and what it holds is what calls under way may still cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.engine.queue import Queue, Row

ZERO = Decimal(0)


def budget(queue: Queue, scope: str = "all", subject: str = "", **columns: Any) -> Row:
    columns = {"period": "day", **columns}
    names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    return queue.one(
        f"INSERT INTO llm_budgets (scope, subject, {names}) VALUES (%s, %s, {marks}) RETURNING *",
        scope, subject, *columns.values(),
    )  # fmt: skip


def now(queue: Queue, row: Row) -> Row:
    return queue.one("SELECT * FROM llmreq_budget_status WHERE id = %s", row["id"])


def upper_bound(queue: Queue, **columns: Any) -> Decimal:
    """What a claim of such a request would hold."""
    row = queue.insert(**columns)
    worker = queue.worker()
    claim = queue.claim_one(worker)
    held: Decimal = queue.request(row)["hold_usd"]
    queue.finish(worker, claim, "released")
    queue.run("DELETE FROM llm_attempts")
    queue.run("DELETE FROM llm_requests")
    queue.run("TRUNCATE llm_usage_daily")
    return held


def test_a_claim_holds_the_upper_bound_and_the_answer_turns_it_into_its_cost(queue: Queue) -> None:
    row = budget(queue, limit_usd=1, limit_tokens=10_000_000)
    worker = queue.worker()
    request = queue.insert()
    claim = queue.claim_one(worker)
    held = now(queue, row)
    assert held["held_usd"] == queue.request(request)["hold_usd"] > 0
    assert held["held_tokens"] == queue.request(request)["hold_tokens"] > 4096
    assert held["spent_usd"] == 0
    queue.finish(worker, claim)
    spent = now(queue, row)
    assert (spent["held_usd"], spent["held_tokens"]) == (0, 0)
    assert (spent["spent_usd"], spent["spent_tokens"]) == (queue.request(request)["cost_usd"], 110)


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("all", ""),
        ("tenant", "acme"),
        ("agent", "reader"),
        ("task_type", "tagging"),
        ("model", "gpt-6-luna"),
        ("model", "openai/gpt-6-luna"),
        ("provider", "openai"),
        ("run", "00000000-0000-0000-0000-000000000007"),
    ],
)
def test_a_budget_covers_its_scope_and_nothing_else(queue: Queue, scope: str, subject: str) -> None:
    mine = {
        "tenant_id": "acme",
        "agent_id": "reader",
        "task_type": "tagging",
        "provider": "openai",
        "model": "gpt-6-luna",
        "run_id": "00000000-0000-0000-0000-000000000007",
    }
    inside = queue.insert(**mine)
    outside = queue.insert(provider="anthropic", model="claude-haiku-4-5")
    row = budget(queue, scope, subject, limit_usd="0.000000000001", on_exhausted="wait")
    worker = queue.worker()
    taken = {claim["id"] for claim in queue.claim(worker)}
    refused = queue.request(inside)
    assert refused["status"] == "failed", "more than an empty budget of nothing"
    assert refused["error_code"] == "budget_exceeded"
    assert taken == (set() if scope == "all" else {outside["id"]})
    assert now(queue, row)["held_usd"] == 0


def test_what_does_not_fit_beside_others_holds_waits_and_runs_when_they_come_back(queue: Queue) -> None:
    each = upper_bound(queue)
    row = budget(queue, limit_usd=each * 2 + each / 2)
    for _ in range(5):
        queue.insert()
    worker = queue.worker()
    first = queue.claim(worker)
    assert len(first) == 2
    waiting = queue.all("SELECT wait_reason FROM llm_requests WHERE status = 'pending'")
    assert [each["wait_reason"] for each in waiting] == ["budget"] * 3
    assert now(queue, row)["waiting"] == 3
    assert queue.claim(worker) == [], "nothing came back yet"
    queue.finish(worker, first[0])
    assert len(queue.claim(worker)) == 1, "what one did not use lets the next one run"
    assert queue.one("SELECT count(*) AS n FROM llmreq_waiting WHERE reason = 'budget'")["n"] == 1


def test_spend_and_holds_together_never_pass_the_limit_while_many_run(queue: Queue) -> None:
    each = upper_bound(queue)
    limit = each * 4
    row = budget(queue, limit_usd=limit)
    for _ in range(40):
        queue.insert()
    worker = queue.worker()
    open_claims: list[Row] = []
    for turn in range(60):
        open_claims += queue.claim(worker, 3)
        state = now(queue, row)
        assert state["spent_usd"] + state["held_usd"] <= limit
        if open_claims:
            # Costs vary twentyfold.
            queue.finish(worker, open_claims.pop(0), output_tokens=50 + (turn * 379) % 950)
        state = now(queue, row)
        assert state["spent_usd"] <= limit
    assert now(queue, row)["spent_usd"] > limit - each, "all that fits is used"
    rest = queue.all("SELECT DISTINCT wait_reason FROM llm_requests WHERE status = 'pending'")
    assert [each["wait_reason"] for each in rest] == ["budget"]


def test_raising_a_budget_wakes_what_waits_in_its_order(queue: Queue) -> None:
    each = upper_bound(queue)
    row = budget(queue, limit_usd=each)
    late = queue.insert(priority=5)
    queue.advance(seconds=1)
    first = queue.insert(priority=0)
    worker = queue.worker()
    running = queue.claim(worker)
    assert [claim["id"] for claim in running] == [first["id"]]
    queue.insert(priority=9)
    assert queue.claim(worker) == []
    queue.run("UPDATE llm_budgets SET limit_usd = %s", each * 2)
    assert [claim["id"] for claim in queue.claim(worker)] == [late["id"]]
    assert now(queue, row)["waiting"] == 1


def test_a_new_period_begins_with_nothing_spent_and_what_ran_over_stays_in_the_old_one(queue: Queue) -> None:
    each = upper_bound(queue)
    row = budget(queue, limit_usd=each, period="hour")
    queue.set_clock(queue.now.replace(minute=59, second=58))
    worker = queue.worker(lease=3600)
    queue.insert()
    queue.insert()
    over = queue.claim_one(worker)
    assert queue.claim(worker) == []
    queue.advance(seconds=5)
    (fresh,) = queue.claim(worker)
    assert now(queue, row)["held_usd"] == each
    queue.finish(worker, over)
    assert now(queue, row)["spent_usd"] == 0, "claimed in the hour before"
    queue.finish(worker, fresh)
    assert now(queue, row)["spent_usd"] > 0


def test_a_request_too_big_for_an_empty_budget_fails_at_once_and_says_what_to_do(queue: Queue) -> None:
    each = upper_bound(queue)
    budget(queue, "tenant", "acme", limit_usd=each)
    big = queue.insert(tenant_id="acme", params={"max_output_tokens": 60_000})
    small = queue.insert(tenant_id="acme")
    (claim,) = queue.claim(queue.worker())
    assert claim["id"] == small["id"], "the small one behind it is not held up"
    failed = queue.request(big)
    assert (failed["status"], failed["error_code"], failed["attempts"]) == ("failed", "budget_exceeded", 0)
    assert "lower max_output_tokens or raise the budget" in failed["error_message"]
    assert queue.attempts(big) == []


@pytest.mark.parametrize("too_big", [False, True])
def test_degrade_goes_to_the_local_tier_at_no_cost(queue: Queue, too_big: bool) -> None:
    each = upper_bound(queue)
    row = budget(queue, limit_usd=each / 2 if too_big else each * Decimal("1.01"), on_exhausted="degrade")
    worker = queue.worker()
    if not too_big:
        queue.insert(task_type="x", provider="openai", model="gpt-6-luna")
        queue.finish(worker, queue.claim_one(worker), output_tokens=4000)
    request = queue.insert()
    queue.claim(worker)
    (claim,) = queue.claim(worker) or [
        queue.one("SELECT *, 4096 AS max_output_tokens FROM llm_requests WHERE status='processing'")
    ]
    assert claim["lane"] == "local/rules"
    queue.finish(worker, claim, input_tokens=0, output_tokens=0)
    done = queue.request(request)
    assert (done["status"], done["cost_usd"]) == ("completed", 0)
    assert now(queue, row)["waiting"] == 0


def test_fail_ends_what_is_exhausted_but_waits_for_what_is_only_held(queue: Queue) -> None:
    each = upper_bound(queue)
    row = budget(queue, limit_usd=each + each / 100, on_exhausted="fail")
    worker = queue.worker()
    one = queue.insert()
    queue.advance(seconds=1)
    two = queue.insert()
    claim = queue.claim_one(worker)
    assert queue.request(two)["wait_reason"] == "budget"
    queue.finish(worker, claim, output_tokens=4000)
    assert queue.claim(worker) == []
    queue.one("SELECT llmreq_explain_waiting()")
    # Woken only if it could fit; it cannot in this period, and its policy says so as soon as it is looked at.
    queue.run("UPDATE llm_budgets SET on_exhausted = 'wait'")
    queue.run("UPDATE llm_budgets SET on_exhausted = 'fail'")
    queue.claim(worker)
    assert queue.request(two)["error_code"] == "budget_exceeded"
    assert "too little is left" in queue.request(two)["error_message"]
    assert queue.request(one)["status"] == "completed"
    assert now(queue, row)["waiting"] == 0


def test_a_model_without_a_price_fails_where_a_budget_covers_it_unless_there_is_a_ceiling(
    queue: Queue,
) -> None:
    row = budget(queue, limit_usd=10)
    worker = queue.worker()
    first = queue.insert(provider="openai", model="house-model")
    assert queue.claim(worker) == []
    assert queue.request(first)["error_code"] == "unpriced"
    assert "llmreq budgets ceiling" in queue.request(first)["error_message"]

    queue.run("INSERT INTO llmreq_meta (key, value) VALUES ('unpriced_usd_per_mtok', '100')")
    second = queue.insert(provider="openai", model="house-model")
    claim = queue.claim_one(worker)
    assert not claim["priced"]
    assert now(queue, row)["held_usd"] == queue.request(second)["hold_tokens"] * Decimal("0.0001")
    queue.finish(worker, claim)
    assert queue.request(second)["cost_usd"] is None, "a ceiling is no price"
    assert now(queue, row)["spent_usd"] == Decimal("0.011"), "110 tokens at 100 dollars a million"
    spend = queue.one("SELECT * FROM llmreq_spend WHERE model = 'house-model'")
    assert (spend["cost_usd"], spend["unpriced_calls"]) == (None, 1)


def test_a_lost_call_is_spent_at_its_bound_until_its_answer_comes_after_all(queue: Queue) -> None:
    row = budget(queue, limit_usd=1, limit_tokens=1_000_000)
    worker = queue.worker()
    request = queue.insert()
    claim = queue.claim_one(worker)
    bound = queue.request(request)
    queue.advance(seconds=20)
    queue.rescue()
    lost = now(queue, row)
    assert (lost["spent_usd"], lost["held_usd"]) == (bound["hold_usd"], 0)
    assert (lost["spent_tokens"], lost["held_tokens"]) == (bound["hold_tokens"], 0)
    queue.finish(worker, claim)
    assert now(queue, row)["spent_usd"] == queue.request(request)["cost_usd"] < bound["hold_usd"]
    assert now(queue, row)["spent_tokens"] == 110


def test_a_budget_begins_with_what_its_period_has_cost_and_holds_already(queue: Queue) -> None:
    worker = queue.worker()
    done = queue.insert(tenant_id="acme")
    queue.finish(worker, queue.claim_one(worker))
    running = queue.insert(tenant_id="acme")
    claim = queue.claim_one(worker)
    for period in ("hour", "day", "month", "total"):
        row = budget(queue, "tenant", "acme", limit_usd=5, limit_tokens=10**9, period=period)
        assert queue.claim(worker, 1) == []  # the next claim counts it
        state = now(queue, row)
        assert state["spent_usd"] == queue.request(done)["cost_usd"]
        assert state["held_usd"] == queue.request(running)["hold_usd"]
        assert state["spent_tokens"] == 110
    queue.finish(worker, claim)
    assert {each["held_usd"] for each in queue.all("SELECT held_usd FROM llm_budgets")} == {ZERO}


def test_a_budget_in_an_open_transaction_stops_nobody_and_binds_from_its_commit_on(
    queue: Queue, database: str
) -> None:
    queue.insert(provider="openai", model="gpt-6-luna")
    worker = queue.worker()
    before = queue.insert()
    (free,) = queue.claim(worker, 1)
    with psycopg.connect(database) as operator:
        operator.execute("SELECT set_config('llmreq.now', %s, false)", (queue.now.isoformat(),))
        operator.execute("INSERT INTO llm_budgets (scope, period, limit_usd) VALUES ('all', 'day', 0)")
        assert queue.finish(worker, free)["accepted"]
        assert [claim["id"] for claim in queue.claim(worker, 1)] == [before["id"]]
        operator.commit()
    queue.insert()
    assert queue.claim(worker) == []
    state = queue.one("SELECT * FROM llm_budgets")
    assert state["held_usd"] == queue.request(before)["hold_usd"]
    assert state["spent_usd"] == queue.one("SELECT sum(cost_usd) AS usd FROM llm_attempts")["usd"] > 0


def test_a_budget_somebody_settles_at_this_moment_is_passed_over_not_waited_for(
    queue: Queue, database: str
) -> None:
    row = budget(queue, limit_usd=1)
    request = queue.insert()
    worker = queue.worker()
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM llm_budgets WHERE id = %s FOR NO KEY UPDATE", (row["id"],))
        assert queue.claim(worker) == []
        assert queue.request(request)["wait_reason"] is None
    assert len(queue.claim(worker)) == 1


def test_warnings_come_once_a_period_and_threshold(queue: Queue) -> None:
    each = upper_bound(queue)
    budget(queue, limit_usd=each * 3, warn_at=[Decimal("0.2"), Decimal("0.5")])
    worker = queue.worker()
    for _ in range(4):
        queue.insert()
        for claim in queue.claim(worker):
            queue.finish(worker, claim, output_tokens=4000)
    told = queue.all("SELECT * FROM llmreq_announce_events()")
    assert [event["details"]["threshold"] for event in told] == [0.2, 0.5]
    assert "is spent" in told[0]["message"]
    assert queue.all("SELECT * FROM llmreq_announce_events()") == [], "each is announced once"


@pytest.mark.parametrize(("what", "limit"), [("request_usd", "0.00001"), ("run_tokens", "200")])
def test_a_request_or_a_run_that_costs_much_is_told_once(queue: Queue, what: str, limit: str) -> None:
    queue.run("INSERT INTO llmreq_meta (key, value) VALUES (%s, %s)", f"warn_{what}", limit)
    worker = queue.worker()
    for _ in range(3):
        queue.insert(run_id="00000000-0000-0000-0000-000000000007")
        queue.finish(worker, queue.claim_one(worker))
    events = queue.all("SELECT kind, subject FROM llm_events")
    if what.startswith("run"):
        assert events == [{"kind": "run_spend", "subject": "00000000-0000-0000-0000-000000000007"}]
    else:
        assert len({event["subject"] for event in events}) == len(events) == 3


def test_an_edit_or_the_budgets_end_brings_what_waits_back(queue: Queue) -> None:
    each = upper_bound(queue)
    row = budget(queue, limit_usd=each)
    worker = queue.worker()
    queue.insert()
    running = queue.claim_one(worker)
    waiting = queue.insert()
    assert queue.claim(worker) == []
    queue.run("UPDATE llm_requests SET params = '{\"max_output_tokens\": 5}' WHERE id = %s", waiting["id"])
    assert queue.claim(worker) == [], "it still does not fit"
    assert queue.request(waiting)["wait_reason"] == "budget"
    queue.run("DELETE FROM llm_budgets WHERE id = %s", row["id"])
    assert [claim["id"] for claim in queue.claim(worker)] == [waiting["id"]]
    queue.finish(worker, running)


@pytest.mark.parametrize("end", ["cancel", "expire"])
def test_what_waits_for_a_budget_can_be_cancelled_and_expires(queue: Queue, end: str) -> None:
    each = upper_bound(queue)
    budget(queue, limit_usd=each)
    worker = queue.worker()
    queue.insert()
    queue.claim_one(worker)
    waiting = queue.insert(expires_at=queue.now.replace(hour=13))
    assert queue.claim(worker) == []
    if end == "cancel":
        queue.one("SELECT llmreq_cancel(%s)", waiting["id"])
    else:
        queue.set_clock(queue.now.replace(hour=14))
        queue.one("SELECT llmreq_expire()")
    ended = queue.request(waiting)
    assert ended["status"] == {"cancel": "cancelled", "expire": "failed"}[end]
    assert (ended["budget_id"], ended["hold_usd"]) == (None, None)


def test_a_drained_worker_does_not_wait_for_what_no_budget_lets_run(queue: Queue) -> None:
    each = upper_bound(queue)
    budget(queue, limit_usd=each)
    worker = queue.worker()
    queue.insert()
    queue.insert()
    claim = queue.claim_one(worker)
    queue.claim(worker)
    queue.finish(worker, claim, output_tokens=4000)
    left = queue.one("SELECT * FROM llmreq_left()")
    assert (left["movable"], left["stuck"]) == (0, 1)


def test_the_hold_knows_the_tier_the_threshold_and_what_may_be_cached(queue: Queue) -> None:
    plain = upper_bound(queue, provider="anthropic", model="claude-haiku-4-5")
    cached = upper_bound(
        queue,
        provider="anthropic",
        model="claude-haiku-4-5",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
                ],
            }
        ],
    )
    assert cached > plain
    standard = upper_bound(queue, provider="openai", model="gpt-6-sol")
    flex = upper_bound(queue, provider="openai", model="gpt-6-sol", params={"service_tier": "flex"})
    assert flex < standard
    assert standard < upper_bound(
        queue, provider="openai", model="gpt-6-sol", params={"service_tier": "priority"}
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"scope": "tenant", "subject": "", "limit_usd": 1},
        {"scope": "all", "subject": "x", "limit_usd": 1},
        {"scope": "all", "subject": ""},
        {"scope": "all", "subject": "", "limit_usd": -1},
        {"scope": "planet", "subject": "x", "limit_usd": 1},
        {"scope": "all", "subject": "", "limit_usd": 1, "period": "week"},
        {"scope": "all", "subject": "", "limit_usd": 1, "on_exhausted": "panic"},
    ],
)
def test_a_budget_that_means_nothing_is_refused(queue: Queue, columns: dict[str, Any]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        budget(queue, **columns)
