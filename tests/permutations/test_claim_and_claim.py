"""claim × claim: two workers look for work at the same moment."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.permutations.orders import Order, interleaved, orders
from tests.permutations.stage import Stage
from tests.permutations.verbs import claim, insert_budget, set_lane

MODELS = [f"house-{n}" for n in range(8)]


@interleaved(a="claim commit", b="claim commit", alike=True)
def test_no_request_is_handed_out_twice(stage: Stage, order: Order) -> None:
    stage.insert(6)
    a, b = stage.queue.worker(), stage.queue.worker()
    stage.play(order, {"a.claim": claim(a), "b.claim": claim(b)})


@pytest.mark.parametrize("row", [1, 2, 5])
@orders("a.claim b.claim a.go b.go a.commit b.commit", "a.claim+b.claim b.go a.go b.commit a.commit")
def test_lanes_that_nobody_met_before_are_met_by_both(stage: Stage, order: Order, row: int) -> None:
    for model in MODELS:
        stage.insert(2, model=model)
    a, b = stage.queue.worker(), stage.queue.worker()
    stage.play(
        order,
        {
            "a.claim": claim(a).stopping_at("llm_lanes", row),
            "b.claim": claim(b).stopping_at("llm_lanes", row),
        },
    )


@interleaved(a="claim commit", b="claim rollback")
def test_a_claim_that_is_rolled_back_hands_out_nothing(stage: Stage, order: Order) -> None:
    for model in MODELS[:2]:
        stage.insert(2, model=model)
    a, b = stage.queue.worker(), stage.queue.worker()
    stage.play(order, {"a.claim": claim(a), "b.claim": claim(b)})
    assert stage.queue.all("SELECT FROM llm_requests WHERE worker_id = %s", b) == []


@orders(
    "a.claim b.claim a.go b.go a.commit b.commit",
    "a.claim b.claim b.go b.commit a.go a.commit",
    "a.claim+b.claim a.go b.go a.commit b.commit",
)
def test_crossed_lanes_pass_each_other(stage: Stage, order: Order) -> None:
    for model in MODELS[:4]:
        stage.insert(3, model=model)
    a, b = stage.queue.worker(), stage.queue.worker()
    stage.claim(a, 4)  # every lane has its row
    stage.play(
        order, {"a.claim": claim(a).stopping_at("llm_lanes"), "b.claim": claim(b).stopping_at("llm_lanes", 2)}
    )


@interleaved(a="claim commit", b="claim commit", alike=True)
def test_no_more_calls_are_in_flight_than_the_provider_may_have(stage: Stage, order: Order) -> None:
    limit = set_lane("openai/*", max_in_flight=3)
    stage.play(("operator.limit",), {"operator.limit": limit})
    for model in MODELS[:3]:
        stage.insert(3, model=model)
    a, b = stage.queue.worker(), stage.queue.worker()
    stage.play(order, {"a.claim": claim(a), "b.claim": claim(b)})
    assert len(stage.books.handed_out) <= 3


@interleaved(a="claim commit", b="claim commit", alike=True)
def test_crossed_budgets_are_never_overdrawn(stage: Stage, order: Order) -> None:
    # The budgets of two tenants cross in that of all; each request holds some cents, so most do not fit.
    for n, (scope, subject) in enumerate([("tenant", "x"), ("all", ""), ("tenant", "y")]):
        stage.play((f"operator.set{n}",), {f"operator.set{n}": insert_budget(scope, subject, "0.01")})
    for tenant in "xy":
        for model in ("gpt-6-luna", "gpt-6-sol"):
            stage.insert(3, model=model, tenant_id=tenant)
    a, b = stage.queue.worker(), stage.queue.worker()
    stage.play(order, {"a.claim": claim(a), "b.claim": claim(b)})
    for budget in stage.queue.all("SELECT held_usd, spent_usd, limit_usd FROM llm_budgets"):
        assert Decimal(0) <= budget["held_usd"] + budget["spent_usd"] <= budget["limit_usd"]
