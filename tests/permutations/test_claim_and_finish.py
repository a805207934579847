"""claim × finish: one worker takes what another one gives back."""

from __future__ import annotations

from tests.permutations.orders import Order, interleaved, orders
from tests.permutations.stage import Stage
from tests.permutations.verbs import claim, finish, insert_budget


@interleaved(a="finish commit", b="claim commit")
def test_an_answer_and_the_next_claim_of_its_lane(stage: Stage, order: Order) -> None:
    stage.insert(6)
    a, b = stage.queue.worker(), stage.queue.worker()
    claims = stage.claim(a, 3)
    stage.play(order, {"a.finish": finish(a, *claims), "b.claim": claim(b)})


@interleaved(a="finish commit", b="claim commit")
def test_a_request_that_is_to_be_tried_again_is_claimed_once(stage: Stage, order: Order) -> None:
    stage.insert(2)
    a, b = stage.queue.worker(), stage.queue.worker()
    claims = stage.claim(a)
    stage.play(order, {"a.finish": finish(a, *claims, outcome="released"), "b.claim": claim(b)})


@interleaved(a="finish commit", b="claim commit")
def test_room_that_an_answer_leaves_in_a_budget_is_given_once(stage: Stage, order: Order) -> None:
    stage.play(("operator.set",), {"operator.set": insert_budget("tenant", "x", "0.005")})
    stage.insert(4, tenant_id="x")
    a, b = stage.queue.worker(), stage.queue.worker()
    claims = stage.claim(a)
    assert 0 < len(claims) < 4, "the budget is to bind"
    stage.play(order, {"a.finish": finish(a, *claims), "b.claim": claim(b)})
    (budget,) = stage.queue.all("SELECT * FROM llm_budgets")
    assert budget["held_usd"] + budget["spent_usd"] <= budget["limit_usd"]


@orders(
    "a.finish b.claim b.wait a.go a.commit b.commit",
    "a.finish b.claim b.wait b.commit a.go a.commit",
)
def test_a_claim_passes_over_what_a_finish_holds(stage: Stage, order: Order) -> None:
    stage.insert(3)
    stage.insert(3, model="gpt-6-sol")
    a, b = stage.queue.worker(), stage.queue.worker()
    claims = [each for each in stage.claim(a, 4) if each.lane == "openai/gpt-6-luna"]
    played = stage.play(order, {"a.finish": finish(a, *claims).stopping_at("llm_lanes"), "b.claim": claim(b)})
    assert {row["lane"] for row in played.rows("b.claim")} == {"openai/gpt-6-sol"}
