"""Cancel, retry, expiry, waiting: the ways of a request that are not a call's."""

from __future__ import annotations

import threading

import psycopg
import pytest

from tests.engine.queue import Queue


def test_a_pending_request_is_cancelled_at_once(queue: Queue) -> None:
    row = queue.insert()
    assert queue.one("SELECT llmreq_cancel(%s) AS s", row["id"])["s"] == "cancelled"
    assert queue.claim(queue.worker()) == []
    assert queue.request(row)["completed_at"] is not None


def test_a_running_request_is_cancelled_by_its_worker_and_its_cost_is_booked(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    assert queue.one("SELECT llmreq_cancel(%s) AS s", row["id"])["s"] == "processing"
    assert queue.one("SELECT cancelled FROM llmreq_heartbeat(%s, 1)", worker)["cancelled"] == [row["id"]]
    hold = queue.request(row)["hold_usd"]
    queue.finish(worker, claim, "cancelled", billed="upper_bound")
    end = queue.request(row)
    assert (end["status"], end["cost_usd"], end["cancel_requested_at"]) == ("cancelled", hold, None)


def test_an_answer_that_beats_its_cancellation_is_kept_but_the_request_is_cancelled(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    queue.one("SELECT llmreq_cancel(%s)", row["id"])
    queue.finish(worker, claim, response="just in time")
    end = queue.request(row)
    assert (end["status"], end["response"]) == ("cancelled", "just in time")


def test_an_ended_request_is_not_cancelled_and_an_unknown_one_is_null(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker))
    assert queue.one("SELECT llmreq_cancel(%s) AS s", row["id"])["s"] == "completed"
    assert queue.one("SELECT llmreq_cancel(llmreq_uuid7()) AS s")["s"] is None


def test_a_retry_begins_again_and_keeps_what_was_spent(queue: Queue) -> None:
    row = queue.insert(max_attempts=1)
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker), "refused", error_message="no")
    spent = queue.request(row)["cost_usd"]
    assert spent > 0
    assert queue.one("SELECT llmreq_retry(%s) AS s", row["id"])["s"] == "pending"
    back = queue.request(row)
    assert (back["attempts"], back["error_code"], back["cost_usd"]) == (0, None, spent)
    queue.finish(worker, queue.claim_one(worker))
    assert queue.request(row)["cost_usd"] == 2 * spent


def test_retrying_what_has_not_failed_changes_nothing(queue: Queue) -> None:
    row = queue.insert()
    assert queue.one("SELECT llmreq_retry(%s) AS s", row["id"])["s"] == "pending"
    assert queue.request(row)["claim_seq"] == 0


def test_retrying_a_question_that_cannot_be_sent_says_why(queue: Queue) -> None:
    row = queue.insert(messages={"no": "list"})
    with pytest.raises(psycopg.Error, match="must be a list"):
        queue.one("SELECT llmreq_retry(%s)", row["id"])


def test_a_request_past_its_expiry_fails_without_a_call(queue: Queue) -> None:
    row = queue.insert(expires_at=queue.now.replace(minute=1))
    queue.advance(minutes=2)
    assert queue.one("SELECT llmreq_expire() AS n")["n"] == 1
    end = queue.request(row)
    assert (end["status"], end["error_code"]) == ("failed", "expired")


def test_rows_of_a_provider_nobody_knows_fail_with_the_known_ones_named(queue: Queue) -> None:
    row = queue.insert(provider="opnai", model="gpt-6-luna")
    queue.worker("openai", unusable={"anthropic": "no key: set ANTHROPIC_API_KEY"})
    queue.one("SELECT llmreq_explain_waiting()")
    end = queue.request(row)
    assert (end["status"], end["error_code"]) == ("failed", "unknown_model")
    assert "known are anthropic, openai" in end["error_message"]


def test_rows_of_a_provider_without_a_key_wait_and_say_which_key(queue: Queue) -> None:
    row = queue.insert(provider="anthropic", model="claude-haiku-5-5")
    queue.worker("openai", unusable={"anthropic": "no key: set ANTHROPIC_API_KEY"})
    queue.one("SELECT llmreq_explain_waiting()")
    waiting = queue.request(row)
    assert (waiting["status"], waiting["wait_reason"], waiting["error_code"]) == (
        "pending",
        "no_worker",
        "authentication",
    )
    assert waiting["error_message"] == "no key: set ANTHROPIC_API_KEY"
    worker = queue.worker("anthropic")
    queue.finish(worker, queue.claim_one(worker))
    end = queue.request(row)
    assert (end["status"], end["error_code"], end["error_message"]) == ("completed", None, None)


def test_routed_rows_move_to_a_candidate_that_somebody_serves(queue: Queue) -> None:
    row = queue.one("INSERT INTO llm_requests (content) VALUES ('hi') RETURNING *")
    assert row["lane"] == "openai/gpt-6-luna"
    queue.worker("anthropic")
    queue.one("SELECT llmreq_explain_waiting()")
    assert queue.request(row)["lane"] == "anthropic/claude-haiku-5-5"


def test_a_paused_lane_says_so_on_its_rows_and_stops_saying_it(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, paused) VALUES ('openai/gpt-6-luna','openai','gpt-6-luna',true)"
    )
    queue.one("SELECT llmreq_explain_waiting()")
    assert queue.request(row)["wait_reason"] == "paused"
    queue.run("UPDATE llm_lanes SET paused=false")
    queue.one("SELECT llmreq_explain_waiting()")
    assert queue.request(row)["wait_reason"] is None
    queue.finish(worker, queue.claim_one(worker))


def test_wait_returns_the_row_when_it_ends(queue: Queue, database: str) -> None:
    row = queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    got: list[str] = []

    def wait() -> None:
        with psycopg.connect(database, autocommit=True) as other:
            got.append(other.execute("SELECT (llmreq_wait(%s, '20 s')).status", (row["id"],)).fetchone()[0])

    waiter = threading.Thread(target=wait)
    waiter.start()
    queue.finish(worker, claim)
    waiter.join(timeout=20)
    assert got == ["completed"]


def test_wait_gives_the_open_row_back_when_its_time_is_up(queue: Queue) -> None:
    row = queue.insert()
    assert queue.one("SELECT (llmreq_wait(%s, '10 ms')).status AS s", row["id"])["s"] == "pending"


def test_wait_says_what_is_wrong_with_waiting(queue: Queue) -> None:
    with pytest.raises(psycopg.Error, match="does not exist"):
        queue.one("SELECT llmreq_wait(llmreq_uuid7(), '1 s')")
    for savepoint in (False, True):
        with queue.connection.transaction(force_rollback=True):
            if savepoint:
                queue.run("SAVEPOINT inner_one")
            row = queue.insert()
            with pytest.raises(psycopg.Error, match="commit before llmreq_wait"):
                queue.one("SELECT llmreq_wait(%s, '1 s')", row["id"])
    with queue.connection.transaction(force_rollback=True):
        queue.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(psycopg.Error, match="READ COMMITTED"):
            queue.one("SELECT llmreq_wait(llmreq_uuid7(), '1 s')")
