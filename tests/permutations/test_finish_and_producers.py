"""finish × cancel, edit, delete, truncate: an answer comes while its producer changes his mind."""

from __future__ import annotations

import pytest

from tests.permutations.orders import Order, interleaved, orders
from tests.permutations.stage import Stage
from tests.permutations.verbs import IN_FLIGHT, Claim, cancel, delete, edit, finish, retry, truncate

FROZEN = [{"status": "completed"}, {"tenant_id": "other"}, {"params": "{}"}, {"lane": "openai/other"}]


def called(stage: Stage, count: int = 1) -> tuple[int, list[Claim]]:
    """A worker and its calls."""
    stage.insert(count)
    worker = stage.queue.worker()
    return worker, stage.claim(worker)


@pytest.mark.parametrize("outcome", ["completed", "rate_limited", "released"])
@interleaved(a="finish commit", b="cancel commit")
def test_a_call_that_is_cancelled_while_its_answer_comes(stage: Stage, order: Order, outcome: str) -> None:
    worker, (call,) = called(stage)
    stage.play(order, {"a.finish": finish(worker, call, outcome=outcome), "b.cancel": cancel(call.id)})
    assert len(stage.bookings(call)) <= 1
    if stage.request(call.id)["status"] == "pending":
        assert stage.request(call.id)["cancel_requested_at"] is None, "cancelled, and begun again"


@pytest.mark.parametrize("columns", FROZEN, ids=lambda columns: next(iter(columns)))
@orders(
    "b.edit a.finish a.commit b.commit",
    "a.finish b.edit a.commit b.commit",
    "a.finish+b.edit a.commit b.commit",
)
def test_a_row_in_flight_refuses_an_edit_of_what_its_claim_took(
    stage: Stage, order: Order, columns: dict[str, str]
) -> None:
    worker, (call,) = called(stage)
    played = stage.play(order, {"a.finish": finish(worker, call), "b.edit": edit(call.id, **columns)})
    if order[0] == "b.edit":
        assert played.state("b.edit") == IN_FLIGHT


@interleaved(a="finish commit", b="edit rollback")
def test_an_edit_of_a_column_that_is_free_never_keeps_an_answer_waiting(stage: Stage, order: Order) -> None:
    worker, (call,) = called(stage)
    stage.play(order, {"a.finish": finish(worker, call), "b.edit": edit(call.id, context='{"note": 1}')})


@interleaved(a="finish commit", b="delete commit")
def test_a_row_that_is_deleted_leaves_the_paid_answer_in_the_ledger(stage: Stage, order: Order) -> None:
    worker, calls = called(stage, 2)
    played = stage.play(order, {"a.finish": finish(worker, *calls), "b.delete": delete(calls[0].id)})
    if len(played.rows("a.finish")) < 2:
        # What somebody held was left out: the worker sends it again.
        stage.play(("a.again",), {"a.again": finish(worker, *calls)})
    (booking,) = stage.bookings(calls[0])
    assert (booking["outcome"], booking["cost_basis"]) == ("completed", "usage")


@interleaved(a="finish commit", b="truncate commit")
def test_a_table_that_is_truncated_leaves_the_paid_answers_in_the_ledger(stage: Stage, order: Order) -> None:
    worker, calls = called(stage, 2)
    played = stage.play(order, {"a.finish": finish(worker, *calls), "b.truncate": truncate()})
    if len(played.rows("a.finish")) < 2:
        stage.play(("a.again",), {"a.again": finish(worker, *calls)})
    for call in calls:
        (booking,) = stage.bookings(call)
        assert (booking["outcome"], booking["cost_basis"]) == ("completed", "usage")


@interleaved(a="finish commit", b="finish commit", alike=True)
def test_the_same_report_of_a_deleted_row_twice_is_booked_once(stage: Stage, order: Order) -> None:
    worker, calls = called(stage, 2)
    stage.play(("p.delete",), {"p.delete": delete(*(each.id for each in calls))})
    stage.play(order, {"a.finish": finish(worker, *calls), "b.finish": finish(worker, *calls)})


@orders("a.finish b.finish a.go b.go a.commit b.commit", "a.finish b.finish b.go a.go b.commit a.commit")
def test_two_crossed_reports_of_deleted_rows(stage: Stage, order: Order) -> None:
    worker, calls = called(stage, 4)
    stage.play(("p.delete",), {"p.delete": delete(*(each.id for each in calls))})
    stage.play(
        order,
        {
            "a.finish": finish(worker, *calls).stopping_at("llm_attempts", 2),
            "b.finish": finish(worker, *reversed(calls)).stopping_at("llm_attempts", 2),
        },
    )


def test_a_late_answer_is_booked_where_its_call_was_whatever_the_row_says_now(stage: Stage) -> None:
    silent, (call,) = called(stage)
    stage.queue.advance(seconds=16)
    stage.queue.rescue()
    stage.play(("p.edit",), {"p.edit": edit(call.id, tenant_id="other")})
    stage.play(("a.finish",), {"a.finish": finish(silent, call)})
    (booking,) = stage.bookings(call)
    assert (booking["outcome"], booking["tenant_id"]) == ("completed", "default")


@pytest.mark.parametrize("outcome", ["authentication", "completed"])
@interleaved(a="finish commit", b="retry commit")
def test_a_request_that_is_begun_again_while_its_answer_comes(
    stage: Stage, order: Order, outcome: str
) -> None:
    worker, (call,) = called(stage)
    stage.play(order, {"a.finish": finish(worker, call, outcome=outcome), "b.retry": retry(call.id)})
    assert len(stage.bookings(call)) <= 1


@interleaved(a="finish commit", b="cancel commit")
def test_a_document_that_is_cancelled_while_its_last_page_ends(stage: Stage, order: Order) -> None:
    document = stage.document(2)
    worker = stage.queue.worker()
    calls = stage.claim(worker)
    stage.play(order, {"a.finish": finish(worker, *calls), "b.cancel": cancel(document.id)})


@interleaved(a="finish commit", b="cancel commit")
def test_a_page_that_is_cancelled_while_another_one_ends(stage: Stage, order: Order) -> None:
    document = stage.document(2)
    worker = stage.queue.worker()
    (call,) = stage.claim(worker, 1)
    other = next(page for page in document.pages if page != call.id)
    stage.play(order, {"a.finish": finish(worker, call), "b.cancel": cancel(other)})


@interleaved(a="finish commit", b="retry commit")
def test_a_document_that_is_begun_again_while_one_of_its_pages_ends(stage: Stage, order: Order) -> None:
    document = stage.document(3)
    worker = stage.queue.worker()
    calls = stage.claim(worker)
    stage.play(("a.fail",), {"a.fail": finish(worker, calls[0], outcome="authentication")})
    assert stage.request(document.id)["status"] == "failed"
    stage.play(order, {"a.finish": finish(worker, *calls[1:]), "b.retry": retry(document.id)})


@orders(
    "a.finish b.delete a.go a.commit b.commit",
    "a.finish b.delete b.commit a.go a.commit",
    "b.delete a.finish a.go a.wait b.commit a.commit",
)
def test_a_page_that_is_deleted_while_another_one_ends(stage: Stage, order: Order) -> None:
    document = stage.document(2)
    worker = stage.queue.worker()
    calls = {each.id: each for each in stage.claim(worker)}
    first, second = (calls[id] for id in document.pages)
    stage.play(
        order, {"a.finish": finish(worker, first).stopping_at("llm_lanes"), "b.delete": delete(second.id)}
    )
