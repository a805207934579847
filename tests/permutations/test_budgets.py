"""Budgets come, change and go beside claims and answers: no cap has a gap, and nobody waits for an operator."""

from __future__ import annotations

import pytest

from tests.permutations.orders import Order, interleaved, orders
from tests.permutations.stage import Stage
from tests.permutations.verbs import claim, delete_budget, finish, insert_budget, rescue, update_budget


def check_caps(stage: Stage) -> None:
    """Nothing is held beyond a cap that was counted before the claim."""
    for budget in stage.queue.all("SELECT * FROM llm_budgets"):
        assert budget["spent_usd"] + budget["held_usd"] <= budget["limit_usd"], "a cap was passed"


@interleaved(a="insert commit", b="insert commit", alike=True)
def test_two_budgets_are_made_at_once(stage: Stage, order: Order) -> None:
    stage.play(order, {"a.insert": insert_budget("tenant", "x"), "b.insert": insert_budget("tenant", "y")})
    stage.catch_up()


@orders(
    "a.insert b.insert a.go b.go a.commit b.commit",
    "a.insert+b.insert b.go a.go a.commit b.commit",
)
def test_two_budgets_are_made_at_once_and_both_stop_before_they_are_counted(
    stage: Stage, order: Order
) -> None:
    stage.play(
        order,
        {
            "a.insert": insert_budget("tenant", "x").stopping_at("first llm_budgets"),
            "b.insert": insert_budget("tenant", "y").stopping_at("first llm_budgets"),
        },
    )
    stage.catch_up()


@interleaved(a="insert commit", b="insert commit", alike=True)
def test_the_same_budget_is_made_twice(stage: Stage, order: Order) -> None:
    stage.play(order, {"a.insert": insert_budget("tenant", "x"), "b.insert": insert_budget("tenant", "x")})
    stage.catch_up()
    assert len(stage.queue.all("SELECT FROM llm_budgets")) == 1


@interleaved(a="insert commit", b="claim commit")
def test_a_new_budget_knows_what_a_claim_beside_it_holds(stage: Stage, order: Order) -> None:
    stage.insert(4, tenant_id="x")
    worker, other = stage.queue.worker(), stage.queue.worker()
    stage.play(order, {"a.insert": insert_budget("tenant", "x"), "b.claim": claim(worker, 2)})
    stage.claim(other)
    check_caps(stage)


@interleaved(a="insert commit", b="claim commit", c="finish commit", most=8)
def test_a_new_budget_beside_a_claim_and_an_answer(stage: Stage, order: Order) -> None:
    stage.insert(4, tenant_id="x")
    worker, other = stage.queue.worker(), stage.queue.worker()
    calls = stage.claim(worker, 2)
    stage.play(
        order,
        {
            "a.insert": insert_budget("all", ""),
            "b.claim": claim(other, 1),
            "c.finish": finish(worker, *calls),
        },
    )
    stage.catch_up()


@pytest.mark.parametrize(
    "columns",
    [{"limit_usd": "0.004"}, {"on_exhausted": "fail"}, {"subject": "y"}],
    ids=lambda each: next(iter(each)),
)
@interleaved(a="update commit", b="claim commit")
def test_a_budget_is_changed_beside_a_claim(stage: Stage, order: Order, columns: dict[str, str]) -> None:
    stage.play(("o.set",), {"o.set": insert_budget("tenant", "x", "0.008")})
    for tenant in "xy":
        stage.insert(4, tenant_id=tenant)
    worker, other = stage.queue.worker(), stage.queue.worker()
    stage.claim(worker, 2)
    stage.play(order, {"a.update": update_budget("tenant", "x", **columns), "b.claim": claim(other)})
    stage.catch_up()


@interleaved(a="update commit", b="finish commit")
def test_a_budget_is_changed_beside_an_answer(stage: Stage, order: Order) -> None:
    stage.play(("o.set",), {"o.set": insert_budget("tenant", "x", "0.005")})
    stage.insert(4, tenant_id="x")
    worker = stage.queue.worker()
    calls = stage.claim(worker)
    stage.play(
        order,
        {"a.update": update_budget("tenant", "x", limit_usd="1"), "b.finish": finish(worker, *calls)},
    )
    if stage.queue.all("SELECT FROM llm_requests WHERE status = 'processing'"):
        stage.play(("b.again",), {"b.again": finish(worker, *calls)})
    stage.queue.advance(seconds=2)
    assert stage.claim(worker), "there is room, and nobody is woken"


@interleaved(a="delete commit", b="claim commit")
def test_a_budget_goes_while_requests_wait_for_it(stage: Stage, order: Order) -> None:
    stage.play(("o.set",), {"o.set": insert_budget("tenant", "x", "0.005")})
    stage.insert(4, tenant_id="x")
    worker = stage.queue.worker()
    stage.claim(worker)
    stage.play(order, {"a.delete": delete_budget("tenant", "x"), "b.claim": claim(worker)})
    stage.queue.advance(seconds=2)
    stage.claim(worker)
    assert stage.queue.all("SELECT FROM llm_requests WHERE status = 'pending'") == []


@interleaved(a="claim commit", b="claim commit", alike=True)
def test_two_claims_wake_the_same_requests(stage: Stage, order: Order) -> None:
    stage.play(("o.set",), {"o.set": insert_budget("tenant", "x", "0.005")})
    stage.insert(30, tenant_id="x")
    stage.insert(30, tenant_id="y")
    worker, other = stage.queue.worker(), stage.queue.worker()
    calls = stage.claim(worker, 40)  # many in one place: there are marks
    stage.play(("o.finish",), {"o.finish": finish(worker, *calls, outcome="released", billed="none")})
    stage.play(("o.raise",), {"o.raise": update_budget("tenant", "x", limit_usd="0.02")})
    stage.play(order, {"a.claim": claim(worker, 20), "b.claim": claim(other, 20)})
    check_caps(stage)


@pytest.mark.parametrize("table", ["llm_marks", "llm_budgets", "llm_requests", "llm_shares"])
@orders("a.claim b.claim a.go b.go a.commit b.commit", "a.claim b.claim b.go a.go b.commit a.commit")
def test_two_claims_wake_across_each_other(stage: Stage, order: Order, table: str) -> None:
    for n, tenant in enumerate("xy"):
        stage.play((f"o.set{n}",), {f"o.set{n}": insert_budget("tenant", tenant, "0.02")})
    for model in ("gpt-6-luna", "gpt-6-sol"):
        for tenant in "xyz":
            stage.insert(12, tenant_id=tenant, model=model)
    worker, other = stage.queue.worker(), stage.queue.worker()
    calls = stage.claim(worker, 60)
    stage.play(("o.finish",), {"o.finish": finish(worker, *calls[::2])})
    for n, tenant in enumerate("yx"):
        stage.play((f"o.raise{n}",), {f"o.raise{n}": update_budget("tenant", tenant, limit_usd="1")})
    stage.queue.advance(seconds=3)
    stage.play(
        order,
        {"a.claim": claim(worker, 9).stopping_at(table, 2), "b.claim": claim(other, 9).stopping_at(table, 2)},
    )


@pytest.mark.parametrize("verb", ["claim", "finish", "rescue"])
@orders("a.insert b.verb b.wait a.commit")
def test_nobody_waits_for_a_budget_that_is_not_committed(stage: Stage, order: Order, verb: str) -> None:
    stage.insert(4, tenant_id="x")
    worker, other = stage.queue.worker(), stage.queue.worker()
    calls = stage.claim(worker, 2)
    verbs = {"claim": claim(other), "finish": finish(worker, *calls), "rescue": rescue()}
    played = stage.play(order, {"a.insert": insert_budget("tenant", "x"), "b.verb": verbs[verb]})
    assert played["b.verb"].seconds < 0.5
    assert len(played.rows("b.verb")) == {"claim": 2, "finish": 2, "rescue": 1}[verb]
    stage.catch_up()
