"""finish × rescue: the answers of a worker, and the verdict that it is dead."""

from __future__ import annotations

import pytest

from tests.permutations.orders import Order, interleaved, orders
from tests.permutations.stage import Stage
from tests.permutations.verbs import Claim, chore, claim, finish, heartbeat, insert_budget, rescue, set_lane


def calls_of_a_silent_worker(stage: Stage, count: int = 3) -> tuple[int, list[Claim]]:
    """A worker whose lease has ended with calls out, while another one beat."""
    stage.insert(count)
    silent, witness = stage.queue.worker(), stage.queue.worker()
    claims = stage.claim(silent)
    beat(stage, witness)
    return silent, claims


def beat(stage: Stage, *workers: int) -> None:
    """Let a lease pass in which only these beat."""
    for _ in range(4):
        stage.queue.advance(seconds=4)
        for worker in workers:
            stage.queue.one("SELECT FROM llmreq_heartbeat(%s, 0)", worker)


@interleaved(a="finish commit", b="rescue commit")
def test_a_call_is_booked_once_whoever_comes_first(stage: Stage, order: Order) -> None:
    silent, claims = calls_of_a_silent_worker(stage)
    stage.play(order, {"a.finish": finish(silent, *claims), "b.rescue": rescue()})
    assert all(len(stage.bookings(each)) == 1 for each in claims)


@pytest.mark.parametrize("table", ["llm_attempts", "llm_requests", "llm_lanes", "llm_usage_daily"])
@orders(
    "a.finish b.rescue a.go b.go a.commit b.commit",
    "b.rescue a.finish b.go b.commit a.go a.commit",
    "a.finish b.rescue b.go b.commit a.go a.commit",
)
def test_neither_stands_in_the_others_way(stage: Stage, order: Order, table: str) -> None:
    silent, claims = calls_of_a_silent_worker(stage)
    stage.play(
        order,
        {"a.finish": finish(silent, *claims[:2]).stopping_at(table), "b.rescue": rescue().stopping_at(table)},
    )
    assert all(len(stage.bookings(each)) <= 1 for each in claims)


@pytest.mark.parametrize(
    ("table", "row"), [("llm_lanes", 1), ("llm_lanes", 2), ("llm_budgets", 1), ("llm_usage_daily", 1)]
)
@orders(
    "a.finish b.rescue a.go a.commit b.commit",
    "b.rescue a.finish b.go b.commit a.commit",
)
def test_a_rescue_and_the_answers_of_another_worker_in_the_same_lanes_and_budgets(
    stage: Stage, order: Order, table: str, row: int
) -> None:
    stage.play(("o.limit",), {"o.limit": set_lane("openai/*", max_in_flight="100")})
    for n, model in enumerate(("gpt-6-sol", "gpt-6-luna")):
        stage.play((f"o.budget{n}",), {f"o.budget{n}": insert_budget("model", model)})
        stage.insert(2, model=model)
        stage.insert(2, model=model, agent_id="other")
    silent, worker = stage.queue.worker(), stage.queue.worker()
    stage.claim(silent, 4)
    calls = stage.claim(worker, 4)
    beat(stage, worker)
    verbs = {"a.finish": finish(worker, *calls), "b.rescue": rescue()}
    first = order[0]
    stage.play(order, {**verbs, first: verbs[first].stopping_at(table, row)})


@interleaved(a="finish commit", b="rescue commit", c="claim commit", most=8)
def test_a_late_answer_a_rescue_and_the_next_claim(stage: Stage, order: Order) -> None:
    silent, claims = calls_of_a_silent_worker(stage, 1)
    other = stage.queue.worker()
    stage.play(order, {"a.finish": finish(silent, *claims), "b.rescue": rescue(), "c.claim": claim(other)})
    accepted = stage.queue.all("SELECT FROM llm_attempts WHERE accepted")
    assert len(accepted) <= 1


@interleaved(a="beat commit", b="rescue commit")
def test_a_worker_either_renews_its_lease_or_learns_that_it_is_dead(stage: Stage, order: Order) -> None:
    silent, _claims = calls_of_a_silent_worker(stage)
    played = stage.play(order, {"a.beat": heartbeat(silent), "b.rescue": rescue()})
    (beat,) = played.rows("a.beat") or [{"alive": None}]
    rescued = stage.queue.all("SELECT FROM llm_attempts WHERE outcome = 'lost'")
    if beat["alive"] == "t":
        assert not rescued, "it was told that it lives, and its calls were taken away"


@interleaved(a="claim commit", b="rescue commit")
def test_a_worker_without_a_lease_claims_nothing_whoever_comes_first(stage: Stage, order: Order) -> None:
    silent, _claims = calls_of_a_silent_worker(stage)
    stage.insert(3)
    played = stage.play(order, {"a.claim": claim(silent), "b.rescue": rescue()})
    assert list(played.rows("a.claim")) == []


@interleaved(a="rescue commit", b="rescue commit", alike=True)
def test_two_rescues_of_one_worker(stage: Stage, order: Order) -> None:
    _silent, claims = calls_of_a_silent_worker(stage)
    stage.play(order, {"a.rescue": rescue(), "b.rescue": rescue()})
    assert all(len(stage.bookings(each)) <= 1 for each in claims)


@interleaved(a="finish commit", b="sweep commit")
def test_a_late_answer_and_the_sweep_of_a_worker_without_a_row(stage: Stage, order: Order) -> None:
    silent, claims = calls_of_a_silent_worker(stage)
    stage.queue.run("DELETE FROM llm_workers WHERE id = %s", silent)
    stage.play(order, {"a.finish": finish(silent, *claims), "b.sweep": chore("sweep_orphans")})
    assert all(len(stage.bookings(each)) == 1 for each in claims)
