"""Providers that are away or full: what waits, what is asked again, and how often."""

from __future__ import annotations

import pytest

from llmreq.text.rules import _TASKS
from tests.engine.queue import Queue


def unsent(queue: Queue, worker: int) -> None:
    for claim in queue.claim(worker):
        queue.finish(worker, claim, "provider_unavailable", error_message="cannot connect: refused")


def test_a_call_that_never_left_is_no_attempt_and_waits_for_the_breaker(queue: Queue) -> None:
    row = queue.insert(max_attempts=1)
    worker = queue.worker(lease=10**6)
    for _ in range(50):
        unsent(queue, worker)
        queue.advance(seconds=40)
    waiting = queue.request(row)
    assert (waiting["status"], waiting["attempts"], waiting["wait_reason"]) == ("pending", 0, "backoff")
    assert queue.lane()["breaker_opened"] > 0
    assert len(queue.attempts(row)) < 40  # further and further apart
    queue.advance(minutes=11)
    queue.finish(worker, queue.claim_one(worker))
    assert (queue.request(row)["status"], queue.lane()["breaker_opened"]) == ("completed", 0)


def test_a_routed_request_goes_on_to_its_next_candidate_when_nobody_answers(queue: Queue) -> None:
    row = queue.one("INSERT INTO llm_requests (content) VALUES ('hi') RETURNING *")
    worker = queue.worker(lease=10**6)
    for _ in range(2):
        unsent(queue, worker)
        queue.advance(seconds=10)
    assert queue.request(row)["route_position"] == 2


def test_a_route_sends_to_the_local_tier_only_what_rules_can_do(queue: Queue) -> None:
    listed = queue.one(
        "SELECT array_agg(t) AS can FROM unnest(%s::text[]) t WHERE llmreq_can_take('local/rules', t)",
        sorted(_TASKS),
    )
    assert listed["can"] == sorted(_TASKS)
    worker = queue.worker("openai", "local/rules", lease=10**6)
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, paused) VALUES ('openai/*', 'openai', '*', true)"
    )
    row = queue.one("INSERT INTO llm_requests (content) VALUES ('hi') RETURNING *")
    queue.run("SELECT llmreq_explain_waiting()")
    assert queue.claim(worker) == []
    assert (queue.request(row)["lane"], queue.request(row)["status"]) == (row["lane"], "pending")
    assert row["lane"].startswith("openai/")


def test_a_draining_worker_does_not_wait_for_a_provider_that_stays_away(queue: Queue) -> None:
    queue.insert()
    worker = queue.worker(lease=10**6)
    for _ in range(12):
        unsent(queue, worker)
        queue.advance(seconds=100)
    left = queue.one("SELECT * FROM llmreq_left()")
    assert (left["movable"], left["stuck"]) == (0, 1)


def calls_of_a_minute(queue: Queue, worker: int, answer: str, **facts: object) -> int:
    """Polls ten times a second for a minute; every call is answered at once."""
    calls = 0
    for _ in range(600):
        for claim in queue.claim(worker, 100):
            calls += 1
            queue.finish(worker, claim, answer, http_status=429, **facts)
        queue.advance(milliseconds=100)
    return calls


def test_a_429_that_says_no_time_is_met_with_one_probe_further_and_further_apart(queue: Queue) -> None:
    for _ in range(60):
        queue.insert()
    worker = queue.worker(lease=10**6)
    first = queue.claim(worker, 100)
    for claim in first:
        queue.finish(worker, claim, "rate_limited", http_status=429)
    assert calls_of_a_minute(queue, worker, "rate_limited") <= 6  # after 1, 2, 4, 8, 16 and 32 seconds
    queue.advance(seconds=70)
    (probe,) = queue.claim(worker, 100)
    queue.finish(worker, probe)
    assert len(queue.claim(worker, 100)) == 2
    for claim in queue.all(
        "SELECT id, claim_seq, claimed_at, 4096 AS max_output_tokens FROM llm_requests WHERE status = 'processing'"
    ):
        queue.finish(worker, claim)
    assert len(queue.claim(worker, 100)) == 4
    assert queue.lane()["throttled"] == 0


def test_a_retry_after_is_kept_to_and_more_429s_after_it_wait_longer(queue: Queue) -> None:
    for _ in range(10):
        queue.insert()
    worker = queue.worker(lease=10**6)
    queue.finish(worker, queue.claim(worker, 1)[0], "rate_limited", http_status=429, retry_after_seconds=5)
    queue.advance(seconds=5.6)
    claims = queue.claim(worker, 100)
    assert len(claims) == 10
    queue.finish(worker, claims[0], "rate_limited", http_status=429, retry_after_seconds=0)
    assert (queue.lane()["blocked_until"] - queue.now).total_seconds() >= 2
    assert queue.lane()["in_flight_window"] == 1


@pytest.mark.parametrize("limit", [0, -5, 0.5, 10**15])
def test_a_limit_that_cannot_be_meant_is_not_learned(queue: Queue, limit: float) -> None:
    for _ in range(5):
        queue.insert()
    worker = queue.worker(lease=10**6)
    rate = {"requests": {"limit": limit, "remaining": 0}}
    for _ in range(5):
        queue.finish(worker, queue.claim(worker, 1)[0], rate=rate)
    assert queue.lane()["seen_requests_per_minute"] is None


def test_what_was_learned_is_forgotten_in_ten_minutes_or_at_an_operators_word(queue: Queue) -> None:
    for _ in range(200):
        queue.insert()
    worker = queue.worker(lease=10**6)
    rate = {"requests": {"limit": 1, "remaining": 0}}
    queue.finish(worker, queue.claim(worker, 1)[0], rate=rate)
    queue.advance(seconds=30)
    assert queue.claim(worker, 50) == []
    queue.run("UPDATE llm_lanes SET requests_per_minute = 6000")
    queue.advance(seconds=10)
    (claim, *others) = queue.claim(worker, 50)
    assert len(others) == 49
    queue.finish(worker, claim, rate=rate)  # said once more: the operator's word stands
    queue.advance(seconds=10)
    assert len(queue.claim(worker, 50)) == 50
    queue.run(
        "UPDATE llm_lanes SET requests_per_minute = NULL, seen_requests_per_minute = 1, seen_at = llmreq_now()"
    )
    queue.advance(seconds=601)
    assert len(queue.claim(worker, 50)) == 50
