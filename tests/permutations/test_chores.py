"""tidy, learn, explain_waiting, reprice beside claims and answers."""

from __future__ import annotations

import pytest

from tests.permutations.orders import Order, interleaved, orders
from tests.permutations.stage import Stage
from tests.permutations.verbs import chore, claim, finish, insert_budget, reprice, rescue, set_lane


def busy_queue(stage: Stage) -> None:
    """Limits of a whole provider, marks and shares: all that a tidy looks at."""
    stage.play(("o.limit",), {"o.limit": set_lane("openai/*", max_in_flight="100")})
    for model in ("gpt-6-luna", "gpt-6-sol"):
        for tenant in "xy":
            stage.insert(14, tenant_id=tenant, model=model)


@interleaved(a="tidy commit", b="claim commit")
def test_a_tidy_beside_a_claim(stage: Stage, order: Order) -> None:
    busy_queue(stage)
    worker, other = stage.queue.worker(), stage.queue.worker()
    stage.claim(worker, 30)
    stage.queue.advance(minutes=2)
    for each in (worker, other):
        stage.queue.one("SELECT FROM llmreq_heartbeat(%s, 0)", each)
    stage.play(order, {"a.tidy": chore("tidy"), "b.claim": claim(other, 15)})


@pytest.mark.parametrize("table", ["llm_lanes", "llm_marks", "llm_shares"])
@orders("a.tidy b.claim a.go b.go a.commit b.commit", "b.claim a.tidy b.go b.commit a.go a.commit")
def test_a_tidy_and_a_claim_that_meet_half_way(stage: Stage, order: Order, table: str) -> None:
    busy_queue(stage)
    worker, other = stage.queue.worker(), stage.queue.worker()
    stage.claim(worker, 30)
    stage.queue.advance(minutes=2)
    for each in (worker, other):
        stage.queue.one("SELECT FROM llmreq_heartbeat(%s, 0)", each)
    stage.play(
        order,
        {"a.tidy": chore("tidy").stopping_at(table), "b.claim": claim(other, 15).stopping_at(table)},
    )


@interleaved(a="tidy commit", b="finish commit")
def test_a_tidy_beside_an_answer(stage: Stage, order: Order) -> None:
    busy_queue(stage)
    worker = stage.queue.worker()
    calls = stage.claim(worker, 30)
    stage.play(order, {"a.tidy": chore("tidy"), "b.finish": finish(worker, *calls[::2])})


@pytest.mark.parametrize("table", ["llm_lanes", "llm_budgets", "llm_usage_daily"])
@orders("a.tidy b.finish a.go b.go a.commit b.commit", "b.finish a.tidy b.go b.commit a.go a.commit")
def test_a_tidy_and_an_answer_that_meet_half_way(stage: Stage, order: Order, table: str) -> None:
    stage.play(("o.budget",), {"o.budget": insert_budget("all", "", "100")})
    busy_queue(stage)
    worker = stage.queue.worker()
    calls = stage.claim(worker, 30)
    stage.play(
        order,
        {
            "a.tidy": chore("tidy").stopping_at(table),
            "b.finish": finish(worker, *calls[::2]).stopping_at(table),
        },
    )


@interleaved(a="tidy commit", b="rescue commit", c="finish commit", most=8)
def test_a_tidy_a_rescue_and_a_late_answer(stage: Stage, order: Order) -> None:
    busy_queue(stage)
    worker, witness = stage.queue.worker(), stage.queue.worker()
    calls = stage.claim(worker, 6)
    for _ in range(4):
        stage.queue.advance(seconds=4)
        stage.queue.one("SELECT FROM llmreq_heartbeat(%s, 0)", witness)
    stage.play(order, {"a.tidy": chore("tidy"), "b.rescue": rescue(), "c.finish": finish(worker, *calls)})


@pytest.mark.parametrize("name", ["learn", "explain_waiting", "sweep_pages", "sweep_orphans", "expire"])
@interleaved(a="chore commit", b="finish commit", c="claim commit", most=4)
def test_a_chore_beside_an_answer_and_a_claim(stage: Stage, order: Order, name: str) -> None:
    document = stage.document(2)
    stage.insert(4)
    worker, other = stage.queue.worker(), stage.queue.worker()
    calls = stage.claim(worker, 3)
    stage.queue.one("SELECT llmreq_cancel(%s)", document.id)
    stage.play(order, {"a.chore": chore(name), "b.finish": finish(worker, *calls), "c.claim": claim(other)})


@interleaved(a="reprice commit", b="finish commit")
def test_a_lane_is_priced_again_while_calls_of_it_end(stage: Stage, order: Order) -> None:
    stage.play(("o.budget",), {"o.budget": insert_budget("all", "", "100")})
    stage.insert(3, model="house-model")
    stage.queue.run(
        "INSERT INTO llmreq_meta (key, value) VALUES ('unpriced_usd_per_mtok', '100') ON CONFLICT DO NOTHING"
    )
    worker = stage.queue.worker()
    calls = stage.claim(worker)
    stage.play(("o.finish",), {"o.finish": finish(worker, calls[0], outcome="malformed_json")})
    stage.price("openai", "house-model")
    stage.play(order, {"a.reprice": reprice("openai/house-model"), "b.finish": finish(worker, *calls[1:])})
