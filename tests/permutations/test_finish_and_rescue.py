"""finish × rescue: the answers of a worker, and the verdict that it is dead."""

from __future__ import annotations

import pytest

from tests.permutations.orders import Order, interleaved, orders
from tests.permutations.stage import Stage
from tests.permutations.verbs import Claim, chore, claim, finish, heartbeat, rescue


def calls_of_a_silent_worker(stage: Stage, count: int = 3) -> tuple[int, list[Claim]]:
    """A worker whose lease has ended with calls out, while another one beat."""
    stage.insert(count)
    silent, witness = stage.queue.worker(), stage.queue.worker()
    claims = stage.claim(silent)
    for _ in range(4):
        stage.queue.advance(seconds=4)
        stage.queue.one("SELECT FROM llmreq_heartbeat(%s, 0)", witness)
    return silent, claims


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
