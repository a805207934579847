"""Two hands on one document: cancel, retry and delete of it and of its pages."""

from __future__ import annotations

import pytest

from tests.permutations.orders import Order, interleaved, orders
from tests.permutations.stage import PRODUCTION_DEADLOCK_MS, Stage
from tests.permutations.verbs import cancel, delete, finish, retry


@pytest.mark.parametrize("claimed", [0, 1, 3])
@interleaved(a="cancel commit", b="cancel commit")
def test_a_document_and_one_of_its_pages_are_cancelled(stage: Stage, order: Order, claimed: int) -> None:
    document = stage.document(3)
    if claimed:
        stage.claim(stage.queue.worker(), claimed)
    stage.play(order, {"a.cancel": cancel(document.id), "b.cancel": cancel(document.pages[1])})
    assert stage.request(document.id)["status"] in ("cancelled", "failed")


@orders(
    "a.cancel b.cancel a.go b.go a.commit b.commit",
    "a.cancel b.cancel b.go b.commit a.go a.commit",
    "a.cancel+b.cancel b.go a.go b.commit a.commit",
)
def test_cancellations_of_a_document_and_of_a_page_that_meet_half_way(stage: Stage, order: Order) -> None:
    document = stage.document(3)
    stage.play(
        order,
        {
            "a.cancel": cancel(document.id).stopping_at("llm_requests"),
            "b.cancel": cancel(document.pages[1]).stopping_at("llm_requests"),
        },
    )


@interleaved(a="cancel commit", b="cancel commit", alike=True)
def test_two_pages_of_one_document_are_cancelled(stage: Stage, order: Order) -> None:
    document = stage.document(3)
    stage.play(order, {"a.cancel": cancel(document.pages[2]), "b.cancel": cancel(document.pages[0])})


@interleaved(a="retry commit", b="retry commit")
def test_a_failed_document_is_begun_again_twice(stage: Stage, order: Order) -> None:
    document = stage.document(2)
    worker = stage.queue.worker()
    calls = stage.claim(worker)
    stage.play(("o.fail",), {"o.fail": finish(worker, *calls, outcome="authentication")})
    stage.play(order, {"a.retry": retry(document.id), "b.retry": retry(document.pages[0])})
    assert stage.request(document.id)["status"] == "waiting"


@interleaved(a="retry commit", b="cancel commit")
def test_a_failed_document_is_begun_again_and_cancelled(stage: Stage, order: Order) -> None:
    document = stage.document(2)
    worker = stage.queue.worker()
    calls = stage.claim(worker)
    stage.play(("o.fail",), {"o.fail": finish(worker, *calls, outcome="authentication")})
    stage.play(order, {"a.retry": retry(document.id), "b.cancel": cancel(document.pages[0])})


@interleaved(a="delete commit", b="cancel commit")
def test_a_page_is_deleted_and_its_document_cancelled(stage: Stage, order: Order) -> None:
    document = stage.document(3)
    stage.claim(stage.queue.worker(), 1)
    stage.play(order, {"a.delete": delete(document.pages[0]), "b.cancel": cancel(document.id)})


@interleaved(a="delete commit", b="delete commit", alike=True)
def test_two_pages_of_one_document_are_deleted(stage: Stage, order: Order) -> None:
    document = stage.document(3)
    stage.claim(stage.queue.worker())
    stage.play(order, {"a.delete": delete(document.pages[0]), "b.delete": delete(document.pages[1])})


def test_every_page_of_a_document_is_deleted_one_after_the_other(stage: Stage) -> None:
    document = stage.document(2)
    for page in document.pages:
        stage.play(("a.delete",), {"a.delete": delete(page)})


def test_a_page_of_a_document_that_has_ended_is_deleted(stage: Stage) -> None:
    document = stage.document(2)
    stage.drain()
    assert stage.request(document.id)["status"] == "completed"
    stage.play(("a.delete",), {"a.delete": delete(document.pages[0])})


@interleaved(a="delete commit", b="finish commit")
def test_a_whole_document_is_deleted_while_its_pages_end(stage: Stage, order: Order) -> None:
    document = stage.document(2)
    worker = stage.queue.worker()
    calls = stage.claim(worker)
    stage.play(
        order,
        {"a.delete": delete(document.id, *document.pages), "b.finish": finish(worker, *calls)},
        deadlock_ms=PRODUCTION_DEADLOCK_MS,
    )
