"""The views that dashboards read, over a queue whose clock stands still."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.engine.queue import Queue, Row


@pytest.fixture
def queue(database: str) -> Iterator[Queue]:
    queue = Queue.open(database)
    queue.run(
        "INSERT INTO llm_prices"
        " (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)"
        " VALUES ('mine', 'm', '-infinity', 1, 2, 'test')"
    )
    yield queue
    queue.connection.close()


def insert(queue: Queue, model: str = "m", **columns: object) -> Row:
    return queue.insert(provider="mine", model=model, **columns)


def finish(queue: Queue, worker: int, outcome: str = "completed", **facts: object) -> None:
    for claim in queue.claim(worker):
        queue.finish(worker, claim, outcome, **facts)


def test_depth_counts_open_requests_only(queue: Queue) -> None:
    worker = queue.worker("mine")
    for _ in range(3):
        insert(queue)
    finish(queue, worker)
    insert(queue)
    queue.claim_one(worker)
    insert(queue)
    queue.advance(seconds=7)
    assert queue.all("SELECT * FROM llmreq_queue_depth ORDER BY status") == [
        {"lane": "mine/m", "status": "pending", "requests": 1, "oldest_seconds": Decimal(7)},
        {"lane": "mine/m", "status": "processing", "requests": 1, "oldest_seconds": Decimal(7)},
    ]


def test_a_waiting_parent_is_counted_through_its_open_pages(queue: Queue) -> None:
    parent = insert(queue)
    queue.restore(
        "UPDATE llm_requests SET status = 'waiting', claim_seq = claim_seq + 1 WHERE id = %s", parent["id"]
    )
    for page in (1, 2):
        insert(queue, parent_id=parent["id"], page=page)
    depth = {row["status"]: row["requests"] for row in queue.all("SELECT * FROM llmreq_queue_depth")}
    assert depth == {"pending": 2, "waiting": 1}


def test_counting_the_queue_reads_no_history(queue: Queue) -> None:
    queue.restore(
        "INSERT INTO llm_requests (content, provider, model, status, completed_at)"
        " SELECT 'x', 'mine', 'm', 'completed', llmreq_now() FROM generate_series(1, 5000)"
    )
    queue.run("ANALYZE llm_requests")
    for view in (
        "llmreq_queue_depth",
        "llmreq_waiting",
        "llmreq_worker_health",
        "llmreq_lane_depth",
        "llmreq_lane_health",
    ):
        plan = "\n".join(row["QUERY PLAN"] for row in queue.all(f"EXPLAIN SELECT * FROM {view}"))
        assert "Seq Scan on llm_requests" not in plan, plan


def test_spend_keeps_bounds_apart_and_an_unpriced_call_makes_the_sum_unknown(queue: Queue) -> None:
    worker = queue.worker("mine")
    insert(queue)
    finish(queue, worker)
    insert(queue)
    finish(queue, worker, "provider_timeout", billed="upper_bound")
    (spend,) = queue.all("SELECT * FROM llmreq_spend")
    assert spend["metered_usd"] == Decimal("0.00012")
    assert spend["upper_bound_usd"] > 0
    assert spend["cost_usd"] == spend["metered_usd"] + spend["upper_bound_usd"]
    insert(queue, model="free?")
    finish(queue, worker)
    unknown = queue.one("SELECT * FROM llmreq_spend WHERE model = 'free?'")
    assert (unknown["cost_usd"], unknown["metered_usd"], unknown["unpriced_calls"]) == (None, 0, 1)


def test_token_buckets_stay_disjoint(queue: Queue) -> None:
    worker = queue.worker("mine")
    insert(queue, task_type="triage")
    finish(
        queue,
        worker,
        cache_read_tokens=50,
        cache_write_5m_tokens=7,
        cache_write_1h_tokens=3,
        reasoning_tokens=4,
    )
    usage = queue.one("SELECT * FROM llmreq_token_usage")
    assert (usage["task_type"], usage["input_tokens"], usage["cache_read_tokens"]) == ("triage", 100, 50)
    assert usage["prompt_tokens"] == 160
    assert (usage["output_tokens"], usage["reasoning_tokens"]) == (10, 4)


def test_latency_and_queue_wait_are_measured_apart(queue: Queue) -> None:
    worker = queue.worker("mine")
    insert(queue)
    queue.advance(seconds=2)
    finish(queue, worker, latency_ms=300)
    (latency,) = queue.all("SELECT * FROM llmreq_latency")
    assert (latency["calls"], latency["p50_ms"], latency["p99_ms"]) == (1, 300, 300)
    assert (latency["waits"], latency["wait_p50_ms"]) == (1, 2000)
    queue.advance(minutes=61)
    assert queue.all("SELECT * FROM llmreq_latency") == []


def test_throughput_shows_every_minute_of_the_hour(queue: Queue) -> None:
    worker = queue.worker("mine")
    insert(queue)
    queue.advance(minutes=1)
    worker = queue.worker("mine")
    finish(queue, worker)
    minutes = queue.all("SELECT * FROM llmreq_throughput ORDER BY minute")
    assert len(minutes) == 60
    assert [row["completed"] for row in minutes[-2:]] == [0, 1]
    assert (minutes[-1]["prompt_tokens"], minutes[-1]["cost_usd"]) == (100, Decimal("0.00012"))


def test_what_agents_get_wrong_is_counted_by_field_and_rule(queue: Queue) -> None:
    worker = queue.worker("mine")
    wrong = [
        {"type": "schema_error", "field": f"items[{i}].name", "rule": "type", "message": "must be string"}
        for i in (0, 12)
    ]
    insert(queue, agent_id="clerk", max_attempts=1)
    finish(queue, worker, "schema_mismatch", validation_errors=wrong, response="{}", error_message="wrong")
    insert(queue, agent_id="clerk")
    finish(queue, worker)
    (failure,) = queue.all("SELECT * FROM llmreq_validation_failures")
    assert (failure["field"], failure["rule"], failure["errors"], failure["answers"]) == (
        "items[].name",
        "type",
        2,
        1,
    )
    success = queue.one("SELECT * FROM llmreq_success_by_agent WHERE agent_id = 'clerk'")
    assert (success["requests"], success["completed"], success["success_rate"]) == (2, 1, Decimal("0.5"))
    (failed,) = queue.all("SELECT error_code, requests, last_message FROM llmreq_failures")
    assert failed == {"error_code": "schema_mismatch", "requests": 1, "last_message": "wrong"}


def test_a_lane_says_why_its_requests_wait(queue: Queue) -> None:
    insert(queue)

    def reason() -> tuple[object, ...]:
        row = queue.one("SELECT reason, message, due FROM llmreq_waiting")
        return row["reason"], row["message"], row["due"]

    assert reason() == ("no_worker", "no worker is running", 1)
    queue.worker("mine")
    assert reason() == (None, None, 1)
    queue.run("INSERT INTO llm_lanes (lane, provider, model, paused) VALUES ('mine/m', 'mine', 'm', true)")
    assert reason() == ("paused", "the lane, its provider or everything is paused: llmreq limits resume", 1)
    queue.run("UPDATE llm_lanes SET paused = false")
    queue.run("UPDATE llm_requests SET scheduled_at = llmreq_now() + interval '1 day'")
    assert reason() == (None, "scheduled for later", 0)
    assert queue.one("SELECT state, pending, priced FROM llmreq_lane_health") == {
        "state": "open", "pending": 1, "priced": True,
    }  # fmt: skip


def test_the_ledger_check_names_what_does_not_balance(queue: Queue) -> None:
    worker = queue.worker("mine")
    row = insert(queue)
    finish(queue, worker)
    assert queue.all("SELECT * FROM llmreq_ledger_check") == []
    queue.run("UPDATE llm_requests SET input_tokens = 99")
    queue.run("UPDATE llm_lanes SET in_flight = 5")
    queue.run(
        "INSERT INTO llm_attempts"
        " (request_id, claim_seq, claimed_at, worker_id, attempt, accepted, cost_basis,"
        " outcome, tenant_id, agent_id, task_type, kind, lane, provider, model, cost_usd)"
        " SELECT request_id, claim_seq, claimed_at + interval '1 second', worker_id, 1, true, 'none',"
        " 'completed',"
        " tenant_id, agent_id, task_type, kind, lane, provider, model, 0 FROM llm_attempts"
    )
    found = {each["check_name"]: each["subject"] for each in queue.all("SELECT * FROM llmreq_ledger_check")}
    assert found == {
        "request_tokens": str(row["id"]),
        "lane_in_flight": "mine/m",
        "claim_booked_twice": f"{row['id']} claim 1",
        "daily_rollup": "2026-11-21 default m",
    }
