"""The ledger and what is made of it: the rollup, corrections by a new price, learned answers, retention."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.engine.queue import Queue, Row


def call(
    queue: Queue, outcome: str = "completed", *, columns: dict[str, Any] | None = None, **facts: Any
) -> Row:
    row = queue.insert(max_attempts=1, **(columns or {}))
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker), outcome, **facts)
    return queue.request(row)


def price(queue: Queue, model: str, usd: str, valid_from: str = "2026-01-01") -> None:
    queue.run(
        "INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)"
        " VALUES ('openai', %s, %s, %s, %s, 'test')",
        model, valid_from, Decimal(usd), Decimal(usd),
    )  # fmt: skip


def test_the_rollup_tells_failed_and_unpriced_calls_apart(queue: Queue) -> None:
    call(queue)
    call(queue, "refused", columns={"tenant_id": "b"})
    call(queue, columns={"model": "house-model", "provider": "openai"})
    total = queue.one(
        "SELECT sum(calls) AS calls, sum(failed_calls) AS failed, sum(unpriced_calls) AS unpriced,"
        " sum(unpriced_tokens) AS unpriced_tokens, sum(cost_usd) AS usd, sum(failed_usd) AS failed_usd FROM llmreq_usage_daily"
    )
    booked = queue.one(
        "SELECT sum(cost_usd) AS usd, sum(cost_usd) FILTER (WHERE outcome='refused') AS failed FROM llm_attempts"
    )
    assert (total["calls"], total["failed"], total["unpriced"], total["unpriced_tokens"]) == (3, 1, 1, 110)
    assert (total["usd"], total["failed_usd"]) == (booked["usd"], booked["failed"])


def test_a_price_found_later_is_appended_and_the_request_is_no_longer_unpriced(queue: Queue) -> None:
    row = call(queue, columns={"model": "house-model", "provider": "openai"})
    assert row["cost_usd"] is None
    price(queue, "house-model", "100")
    day = queue.now.date()
    would = queue.one("SELECT * FROM llmreq_reprice('openai/house-model', %s, true)", day)
    assert (would["calls"], would["priced"], would["is_usd"]) == (1, 1, Decimal("0.011"))
    assert queue.request(row)["cost_usd"] is None, "a dry run changes nothing"
    queue.one("SELECT * FROM llmreq_reprice('openai/house-model', %s)", day)
    assert queue.request(row)["cost_usd"] == Decimal("0.011")
    original, correction = sorted(queue.attempts(row), key=lambda each: -each["claim_seq"])
    assert (original["cost_usd"], original["price_id"]) == (None, None), "what was booked stays"
    assert (correction["cost_basis"], correction["outcome"]) == ("correction", "priced")
    spend = queue.one("SELECT * FROM llmreq_spend")
    assert (spend["cost_usd"], spend["unpriced_calls"], spend["calls"]) == (Decimal("0.011"), 0, 1)
    assert queue.one("SELECT * FROM llmreq_reprice('openai/house-model', %s)", day)["calls"] == 0


def test_a_corrected_price_moves_the_difference_and_the_budget_with_it(queue: Queue) -> None:
    price(queue, "house-model", "100")
    queue.run("INSERT INTO llm_budgets (scope, period, limit_usd) VALUES ('all', 'day', 5)")
    row = call(queue, columns={"model": "house-model", "provider": "openai"})
    assert row["cost_usd"] == Decimal("0.011")
    for usd, expected in (("50", "0.0055"), ("200", "0.022")):
        price(queue, "house-model", usd, f"2026-0{2 if usd == '50' else 3}-01")
        queue.one("SELECT * FROM llmreq_reprice('openai/house-model', %s)", queue.now.date())
        assert queue.request(row)["cost_usd"] == Decimal(expected)
        assert queue.one("SELECT spent_usd FROM llm_budgets")["spent_usd"] == Decimal(expected)
    assert len(queue.attempts(row)) == 3


def test_an_answer_is_priced_by_the_tier_it_got_not_the_one_it_asked_for(queue: Queue) -> None:
    costs = {
        tier: call(queue, columns={"provider": "openai", "model": "gpt-6-sol"}, service_tier=tier)["cost_usd"]
        for tier in ("default", "flex", "priority", "moonshot")
    }
    assert costs["flex"] * 2 == costs["default"] == costs["priority"] / 2
    assert costs["moonshot"] is None, "a tier nobody has a price for is unpriced"


def test_the_longest_pattern_that_fits_prices_a_model(queue: Queue) -> None:
    price(queue, "house-*", "10")
    price(queue, "house-big-*", "20")
    small = call(queue, columns={"provider": "openai", "model": "house-7"})
    big = call(queue, columns={"provider": "openai", "model": "house-big-7"})
    assert big["cost_usd"] == 2 * small["cost_usd"] == Decimal("0.0022")


def test_estimates_are_recorded_and_learn_from_what_came(queue: Queue) -> None:
    first = call(
        queue, columns={"agent_id": "tagger", "provider": "openai", "model": "gpt-6-luna"}, output_tokens=40
    )
    assert queue.attempts(first)[0]["estimated_output_tokens"] is None, "nobody could know"
    for _ in range(2):
        call(
            queue,
            columns={"agent_id": "tagger", "provider": "openai", "model": "gpt-6-luna"},
            output_tokens=40,
        )
    queue.one("SELECT llmreq_learn()")
    row = call(
        queue, columns={"agent_id": "tagger", "provider": "openai", "model": "gpt-6-luna"}, output_tokens=44
    )
    (attempt,) = queue.attempts(row)
    assert attempt["estimated_output_tokens"] == 40
    assert attempt["estimated_input_tokens"] > 0
    usage = queue.one(
        "SELECT sum(estimate_error_tokens) AS off, sum(total_tokens) AS total FROM llmreq_usage_daily"
    )
    assert usage["off"] > 0


def test_learned_answers_let_more_calls_through_a_limit_on_output_tokens(queue: Queue) -> None:
    for name, size in (("short", 10), ("long", 2000)):
        call(
            queue,
            columns={"agent_id": name, "provider": "anthropic", "model": "claude-haiku-4-5"},
            output_tokens=size,
        )
    queue.one("SELECT llmreq_learn()")
    queue.run("UPDATE llm_lanes SET output_tokens_per_minute = 6000, safety_margin = 1, burst_seconds = 10")
    held = {}
    for name in ("short", "long"):
        row = queue.insert(agent_id=name, provider="anthropic", model="claude-haiku-4-5")
        queue.claim_one(queue.worker())
        held[name] = queue.request(row)["held_output_tokens"]
    assert held == {"short": 10, "long": 2000}


def test_retention_takes_what_ended_long_ago_and_never_what_is_open(queue: Queue) -> None:
    old = call(queue)
    worker = queue.worker()
    parent = queue.insert()
    queue.restore("UPDATE llm_requests SET status = 'waiting' WHERE id = %s", parent["id"])
    page = call(queue, columns={"parent_id": parent["id"], "page": 1})
    waiting = queue.insert(scheduled_at=queue.now + timedelta(days=300))
    queue.advance(days=100)
    before = queue.one("SELECT sum(cost_usd) AS usd FROM llmreq_usage_daily")
    young = call(queue, columns={"priority": 0})
    cut = queue.now - timedelta(days=90)
    assert queue.one("SELECT llmreq_forget_requests(%s, 10, true) AS n", cut)["n"] == 1
    assert queue.one("SELECT llmreq_forget_requests(%s) AS n", cut)["n"] == 1
    kept = {row["id"] for row in queue.all("SELECT id FROM llm_requests")}
    assert kept == {parent["id"], page["id"], waiting["id"], young["id"]}
    assert old["id"] not in kept
    dry = queue.all("SELECT * FROM llmreq_drop_partitions(%s, true)", cut.date())
    assert queue.all("SELECT * FROM llmreq_drop_partitions(%s)", cut.date()) == dry
    assert queue.one("SELECT count(*) AS n FROM llm_attempts")["n"] == 1
    assert queue.one("SELECT sum(cost_usd) AS usd FROM llmreq_usage_daily")["usd"] > before["usd"]
    assert worker > 0
