"""finish × finish: two workers report at the same moment."""

from __future__ import annotations

import pytest

from tests.permutations.orders import Order, interleaved, orders
from tests.permutations.stage import Stage
from tests.permutations.verbs import Claim, finish, insert_budget, set_lane

STOPPED = orders(
    "a.finish b.finish a.go b.go a.commit b.commit",
    "a.finish b.finish b.go a.go b.commit a.commit",
    "a.finish+b.finish a.go b.go a.commit b.commit",
)


def crossed(stage: Stage, one: int, other: int, **columns: str) -> tuple[list[Claim], list[Claim]]:
    """Calls of two workers in the same two lanes, the first of each in the other's second."""
    for model in ("gpt-6-luna", "gpt-6-sol"):
        stage.insert(2, model=model, **columns)
    first, second = stage.claim(one, 2), stage.claim(other, 2)
    assert {each.lane for each in first} == {each.lane for each in second}
    return first, list(reversed(second))


@interleaved(a="finish commit", b="finish commit", alike=True)
def test_the_same_report_twice_is_booked_once(stage: Stage, order: Order) -> None:
    stage.insert(3)
    worker = stage.queue.worker()
    claims = stage.claim(worker)
    stage.play(order, {"a.finish": finish(worker, *claims), "b.finish": finish(worker, *reversed(claims))})
    assert all(len(stage.bookings(each)) == 1 for each in claims)


@pytest.mark.parametrize("row", [1, 2])
@STOPPED
def test_crossed_lanes_are_settled_in_one_order(stage: Stage, order: Order, row: int) -> None:
    stage.play(("operator.set",), {"operator.set": set_lane("openai/*", max_in_flight=100)})
    one, other = stage.queue.worker(), stage.queue.worker()
    a, b = crossed(stage, one, other)
    stage.play(
        order,
        {
            "a.finish": finish(one, *a).stopping_at("llm_lanes", row),
            "b.finish": finish(other, *b).stopping_at("llm_lanes", row),
        },
    )


@pytest.mark.parametrize("row", [1, 2])
@STOPPED
def test_crossed_budgets_are_settled_in_one_order(stage: Stage, order: Order, row: int) -> None:
    for n, budget in enumerate([("model", "gpt-6-sol"), ("tenant", "x"), ("model", "gpt-6-luna")]):
        stage.play((f"operator.set{n}",), {f"operator.set{n}": insert_budget(*budget)})
    one, other = stage.queue.worker(), stage.queue.worker()
    a, b = crossed(stage, one, other, tenant_id="x")
    stage.play(
        order,
        {
            "a.finish": finish(one, *a).stopping_at("llm_budgets", row),
            "b.finish": finish(other, *b).stopping_at("llm_budgets", row),
        },
    )


@STOPPED
def test_crossed_rows_of_the_daily_rollup(stage: Stage, order: Order) -> None:
    one, other = stage.queue.worker(), stage.queue.worker()
    for agent in ("p", "q"):
        stage.insert(2, agent_id=agent)
    claims = stage.claim(one)
    stage.play(
        order,
        {
            "a.finish": finish(one, claims[0], claims[2]).stopping_at("llm_usage_daily"),
            "b.finish": finish(other, claims[3], claims[1]).stopping_at("llm_usage_daily"),
        },
    )


@interleaved(a="finish commit", b="finish commit", alike=True)
def test_the_last_two_pages_of_a_document_end_together(stage: Stage, order: Order) -> None:
    document = stage.document(2)
    worker = stage.queue.worker()
    first, second = stage.claim(worker)
    stage.play(order, {"a.finish": finish(worker, first), "b.finish": finish(worker, second)})
    assert stage.request(document.id)["status"] == "pending", "all pages are there: it is to be merged"


@orders(
    "a.finish b.finish a.go b.go a.commit b.commit",
    "a.finish b.finish b.go b.commit a.go a.commit",
    "a.finish+b.finish b.go a.go b.commit a.commit",
)
def test_crossed_pages_of_two_documents(stage: Stage, order: Order) -> None:
    documents = [stage.document(2), stage.document(2)]
    worker = stage.queue.worker()
    claims = {each.id: each for each in stage.claim(worker)}
    a = [claims[documents[0].pages[0]], claims[documents[1].pages[0]]]
    b = [claims[documents[1].pages[1]], claims[documents[0].pages[1]]]
    played = stage.play(
        order,
        {
            # Each page is written, then its document: the third row is the first document.
            "a.finish": finish(worker, *a).stopping_at("llm_requests", 3),
            "b.finish": finish(worker, *b).stopping_at("llm_requests", 3),
        },
    )
    if all(len(played.rows(name)) == 2 for name in ("a.finish", "b.finish")):
        assert {stage.request(each.id)["status"] for each in documents} == {"pending"}
