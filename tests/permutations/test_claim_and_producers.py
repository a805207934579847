"""claim × edit, cancel, delete, expire, pause: a request changes at the moment when it is taken."""

from __future__ import annotations

import pytest

from tests.permutations.orders import Order, interleaved
from tests.permutations.stage import Stage
from tests.permutations.verbs import IN_FLIGHT, cancel, chore, claim, delete, edit, finish, insert, set_lane


@interleaved(a="claim commit", b="edit commit")
def test_a_claim_takes_the_question_as_it_stood_or_as_it_stands(stage: Stage, order: Order) -> None:
    (id,) = stage.insert()
    worker = stage.queue.worker()
    played = stage.play(
        order, {"a.claim": claim(worker), "b.edit": edit(id, messages='[{"role": "user", "content": "new"}]')}
    )
    row = stage.request(id)
    edited = row["messages"][0]["content"] == "new"
    assert edited == (played.state("b.edit") is None)
    if row["status"] == "processing":
        (taken,) = played.rows("a.claim")
        assert taken["claim_seq"] == ("2" if edited else "1"), (
            "an edited request was taken as it stood before"
        )
    else:
        assert edited, "neither claimed nor edited"


@interleaved(a="claim commit", b="edit commit")
def test_an_edit_that_sends_a_request_elsewhere(stage: Stage, order: Order) -> None:
    (id,) = stage.insert()
    worker = stage.queue.worker()
    played = stage.play(order, {"a.claim": claim(worker), "b.edit": edit(id, model="gpt-6-sol")})
    if played.state("b.edit") is None:
        assert stage.request(id)["lane"] == "openai/gpt-6-sol"
        stage.claim(worker)
        assert stage.request(id)["status"] == "processing", "the next claim does not find it where it went"
    else:
        assert played.state("b.edit") == IN_FLIGHT


@interleaved(a="claim commit", b="cancel commit")
def test_a_request_is_cancelled_or_taken_with_the_cancellation_noted(stage: Stage, order: Order) -> None:
    (id,) = stage.insert()
    worker = stage.queue.worker()
    stage.play(order, {"a.claim": claim(worker), "b.cancel": cancel(id)})
    row = stage.request(id)
    assert row["status"] == "cancelled" or row["cancel_requested_at"] is not None


@interleaved(a="claim commit", b="delete commit")
def test_a_request_that_is_deleted_is_not_called_without_a_booking(stage: Stage, order: Order) -> None:
    ids = stage.insert(2)
    worker = stage.queue.worker()
    stage.play(order, {"a.claim": claim(worker), "b.delete": delete(ids[0])})


@interleaved(a="claim commit", b="expire commit")
def test_a_request_expires_or_is_taken(stage: Stage, order: Order) -> None:
    expires_at = stage.queue.now.replace(second=5).isoformat()
    stage.insert(3, expires_at=expires_at)
    worker = stage.queue.worker()
    # The clock of the one that expires is ahead.
    stage.play(order, {"a.claim": claim(worker), "b.expire": chore("expire").later(10)})


@interleaved(a="finish commit", b="expire commit")
def test_a_page_expires_while_another_one_ends(stage: Stage, order: Order) -> None:
    stage.document(2, expires_at=stage.queue.now.replace(second=5).isoformat())
    worker = stage.queue.worker()
    (call,) = stage.claim(worker, 1)
    stage.play(order, {"a.finish": finish(worker, call), "b.expire": chore("expire").later(10)})


@pytest.mark.parametrize("lane", ["openai/gpt-6-luna", "openai/*"])
@interleaved(a="claim commit", b="pause commit")
def test_a_lane_is_paused_while_it_is_claimed_from(stage: Stage, order: Order, lane: str) -> None:
    stage.insert(2)
    worker, other = stage.queue.worker(), stage.queue.worker()
    stage.play(order, {"a.claim": claim(worker, 1), "b.pause": set_lane(lane, paused="true")})
    assert stage.claim(other) == [], "a paused lane was claimed from"


@interleaved(a="claim commit", b="insert commit", c="claim commit", most=8)
def test_a_request_that_is_committed_beside_two_claims_is_found_by_the_next(
    stage: Stage, order: Order
) -> None:
    stage.insert(1)
    one, other = stage.queue.worker(), stage.queue.worker()
    stage.play(order, {"a.claim": claim(one), "b.insert": insert(1), "c.claim": claim(other)})
    stage.claim(one)
    assert stage.queue.all("SELECT FROM llm_requests WHERE status = 'pending'") == []


@interleaved(a="explain commit", b="claim commit", c="edit commit", most=8)
def test_the_reason_why_a_request_waits_is_written_beside_a_claim_and_an_edit(
    stage: Stage, order: Order
) -> None:
    ids = stage.insert(3)
    worker = stage.queue.worker()
    stage.play(("o.pause",), {"o.pause": set_lane("openai/gpt-6-luna", paused="true")})
    stage.play(("o.explain",), {"o.explain": chore("explain_waiting")})
    stage.play(("o.resume",), {"o.resume": set_lane("openai/gpt-6-luna", paused="false")})
    stage.play(
        order, {"a.explain": chore("explain_waiting"), "b.claim": claim(worker), "c.edit": edit(ids[0])}
    )
