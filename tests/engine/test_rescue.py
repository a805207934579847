"""Death of workers: what is handed on, what is booked, and what a late answer still counts for."""

from __future__ import annotations

from psycopg.types.json import Json

from tests.engine.queue import Queue, told


def _die(queue: Queue) -> None:
    queue.advance(seconds=16)
    queue.rescue()


def test_a_dead_workers_requests_are_handed_on_and_booked_as_lost(queue: Queue) -> None:
    row = queue.insert()
    queue.claim_one(queue.worker())
    hold = queue.request(row)["hold_usd"]
    _die(queue)
    back = queue.request(row)
    assert (back["status"], back["attempts"], back["rescues"], back["cost_usd"]) == ("pending", 0, 1, hold)
    (lost,) = queue.attempts(row)
    assert (lost["outcome"], lost["accepted"], lost["cost_basis"], lost["cost_usd"]) == (
        "lost",
        False,
        "upper_bound",
        hold,
    )
    assert queue.lane()["in_flight"] == 0
    assert queue.all("SELECT * FROM llm_workers") == []


def test_a_live_workers_requests_stay(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    for _ in range(4):
        queue.advance(seconds=10)
        assert queue.one("SELECT alive FROM llmreq_heartbeat(%s, 1)", worker)["alive"]
        assert queue.rescue() == 0
    assert queue.finish(worker, claim)["accepted"]
    assert queue.request(row)["status"] == "completed"


def test_a_late_answer_of_a_rescued_claim_is_adopted(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    _die(queue)
    assert queue.finish(worker, claim)["accepted"]
    end = queue.request(row)
    (attempt,) = queue.attempts(row)
    assert (end["status"], attempt["outcome"], attempt["accepted"]) == ("completed", "completed", True)
    assert end["cost_usd"] == attempt["cost_usd"]
    assert attempt["cost_basis"] == "usage"


def test_a_late_answer_after_another_claim_is_booked_but_not_accepted(queue: Queue) -> None:
    row = queue.insert()
    zombie = queue.worker()
    old = queue.claim_one(zombie)
    _die(queue)
    worker = queue.worker()
    new = queue.claim_one(worker)
    assert not queue.finish(zombie, old, response="old", input_tokens=7)["accepted"]
    assert queue.request(row)["status"] == "processing"
    assert queue.finish(worker, new, response="new", input_tokens=5)["accepted"]
    end = queue.request(row)
    assert (end["response"], end["input_tokens"]) == ("new", 12)
    assert [a["accepted"] for a in queue.attempts(row)] == [False, True]
    assert sum(a["cost_usd"] for a in queue.attempts(row)) == end["cost_usd"]


def test_a_late_answer_after_the_other_one_is_booked_too(queue: Queue) -> None:
    row = queue.insert()
    zombie = queue.worker()
    old = queue.claim_one(zombie)
    _die(queue)
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker), response="new")
    queue.finish(zombie, old, response="old")
    end = queue.request(row)
    assert (end["status"], end["response"], end["input_tokens"]) == ("completed", "new", 200)


def test_a_late_answer_does_not_bring_a_cancelled_request_back(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    _die(queue)
    queue.one("SELECT llmreq_cancel(%s)", row["id"])
    assert not queue.finish(worker, claim)["accepted"]
    assert queue.request(row)["status"] == "cancelled"


def test_a_late_failure_of_an_unpriced_call_leaves_the_cost_unknown(queue: Queue) -> None:
    row = queue.insert(provider="openai", model="house-model")
    worker = queue.worker()
    claim = queue.claim_one(worker)
    _die(queue)
    assert queue.request(row)["cost_usd"] is None
    queue.finish(worker, claim, "provider_unavailable", billed="none", error_message="refused")
    assert queue.request(row)["cost_usd"] == 0


def test_the_third_death_over_one_request_poisons_it(queue: Queue) -> None:
    row = queue.insert()
    for _ in range(3):
        queue.claim_one(queue.worker())
        _die(queue)
    end = queue.request(row)
    assert (end["status"], end["error_code"], end["attempts"]) == ("failed", "poisoned", 0)
    assert len(queue.attempts(row)) == 3


def test_a_heartbeat_after_the_rescue_says_the_worker_is_dead(queue: Queue) -> None:
    worker = queue.worker()
    _die(queue)
    assert queue.one("SELECT alive FROM llmreq_heartbeat(%s, 0)", worker)["alive"] is False


def test_a_late_heartbeat_before_any_rescue_renews_the_lease(queue: Queue) -> None:
    worker = queue.worker()
    queue.advance(seconds=60)
    assert queue.one("SELECT alive FROM llmreq_heartbeat(%s, 0)", worker)["alive"] is True
    assert queue.rescue() == 0


def test_many_requests_are_rescued_in_turns_and_the_worker_row_goes_last(queue: Queue) -> None:
    for _ in range(25):
        queue.insert()
    worker = queue.worker()
    assert len(queue.claim(worker, 25)) == 25
    queue.advance(seconds=16)
    turns = [queue.rescue(10) for _ in range(4)]
    assert turns == [10, 10, 5, 0]
    assert queue.all("SELECT * FROM llm_workers") == []


def test_requests_without_any_worker_row_are_swept(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    queue.claim_one(worker)
    queue.run("DELETE FROM llm_workers WHERE id=%s", worker)
    assert queue.rescue() == 0
    assert queue.one("SELECT llmreq_sweep_orphans() AS n")["n"] == 1
    assert queue.request(row)["status"] == "pending"


def test_a_worker_that_retires_with_work_left_is_rescued_at_once(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    queue.claim_one(worker)
    assert queue.one("SELECT llmreq_retire(%s) AS clean", worker)["clean"] is False
    assert queue.rescue() == 1
    assert queue.request(row)["status"] == "pending"


def test_a_finish_beside_a_rescue_settles_nothing_and_then_replaces_its_booking(
    queue: Queue, database: str
) -> None:
    row = queue.insert()
    worker = queue.worker(lease=15)
    claim = queue.claim_one(worker)
    queue.advance(seconds=16)
    other = Queue.open(database)
    other.set_clock(queue.now)
    queue.run("BEGIN")
    assert queue.rescue() == 1
    assert other.all("SELECT * FROM llmreq_finish(%s, %s::json)", worker, Json([told(claim)])) == []
    queue.run("COMMIT")
    done = other.finish(worker, claim)
    assert done["accepted"]
    end = queue.request(row)
    (attempt,) = queue.attempts(row)
    assert (end["status"], attempt["outcome"]) == ("completed", "completed")
    assert end["cost_usd"] == attempt["cost_usd"]
