"""The claim: who gets what, in which order, and who gets nothing."""

from __future__ import annotations

import psycopg
import pytest

from tests.engine.queue import Queue


def test_a_claim_marks_the_row_and_holds_its_upper_bound(queue: Queue) -> None:
    row = queue.insert(params={"max_output_tokens": 1000})
    claim = queue.claim_one(queue.worker())
    held = queue.request(row)
    assert (claim["id"], claim["claim_seq"], claim["max_output_tokens"]) == (row["id"], 1, 1000)
    assert (held["status"], held["provider"], held["model"]) == ("processing", "openai", "gpt-6-luna")
    assert held["hold_usd"] >= 1000 * queue.one("SELECT 0.5 * 0.000001 AS usd")["usd"]
    assert queue.lane()["in_flight"] == 1
    queue.finish(held["worker_id"], claim)


def test_nothing_is_claimed_before_its_time_or_after_its_end(queue: Queue) -> None:
    worker = queue.worker()
    queue.insert(scheduled_at=queue.now.replace(hour=13))
    queue.insert(expires_at=queue.now.replace(hour=11))
    assert queue.claim(worker) == []


def test_priority_comes_before_age_within_a_tenant(queue: Queue) -> None:
    late = queue.insert(priority=9)
    normal = []
    for _ in range(2):
        queue.advance(seconds=1)
        normal.append(queue.insert())
    first = queue.insert(priority=0)
    worker = queue.worker()
    order = [queue.claim(worker, 1)[0]["id"] for _ in range(4)]
    assert order == [first["id"], normal[0]["id"], normal[1]["id"], late["id"]]


def test_a_small_tenant_is_served_beside_a_big_one(queue: Queue) -> None:
    for _ in range(50):
        queue.insert(tenant_id="big")
    small = queue.insert(tenant_id="small")
    claims = queue.claim(queue.worker(), 10)
    assert len(claims) >= 6
    assert small["id"] in {claim["id"] for claim in claims}


def test_the_walk_over_tenants_goes_on_where_it_stopped(queue: Queue) -> None:
    for n in range(6):
        queue.insert(tenant_id=f"t{n}")
    worker = queue.worker()
    turns = [{claim["tenant_id"] for claim in queue.claim(worker, 2)} for _ in range(3)]
    assert turns == [{"t0", "t1"}, {"t2", "t3"}, {"t4", "t5"}]


def test_a_full_claim_gives_rows_to_the_limit_although_some_tenants_have_few(queue: Queue) -> None:
    queue.insert(tenant_id="a")
    for _ in range(20):
        queue.insert(tenant_id="b")
    worker = queue.worker()
    assert sum(len(queue.claim(worker, 10)) for _ in range(3)) == 21


def test_a_paused_blocked_or_full_lane_costs_the_others_nothing(queue: Queue) -> None:
    for model in ("gpt-6-luna", "gpt-6-sol", "gpt-6.1-sol", "gpt-5.4"):
        queue.insert(provider="openai", model=model)
    worker = queue.worker()
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, paused) VALUES ('openai/gpt-6-luna','openai','gpt-6-luna',true)"
    )
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, blocked_until) VALUES"
        " ('openai/gpt-6-sol','openai','gpt-6-sol', llmreq_now() + interval '1 min')"
    )
    queue.insert(provider="openai", model="gpt-6.1-sol")
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, max_in_flight) VALUES ('openai/gpt-6.1-sol','openai','gpt-6.1-sol',1)"
    )
    lanes = sorted(claim["lane"] for claim in queue.claim(worker))
    assert lanes == ["openai/gpt-5.4", "openai/gpt-6.1-sol"]
    assert queue.claim(worker) == []


def test_a_worker_gets_only_lanes_it_serves(queue: Queue) -> None:
    queue.insert()
    queue.insert(provider="local", model="rules", task_type="chunking")
    queue.insert(provider="local", model="llama3")
    assert [claim["lane"] for claim in queue.claim(queue.worker("local/rules"))] == ["local/rules"]
    assert sorted(claim["lane"] for claim in queue.claim(queue.worker("local"))) == ["local/llama3"]


def test_a_lane_locked_by_another_claim_is_passed_over(queue: Queue, database: str) -> None:
    queue.insert()
    queue.insert(provider="openai", model="gpt-5.4")
    worker = queue.worker()
    queue.finish(worker, queue.claim(worker, 1)[0])  # makes a lane row
    lane = queue.one("SELECT lane FROM llm_requests WHERE status = 'completed'")["lane"]
    queue.insert(provider="openai", model=lane.split("/")[1])
    with psycopg.connect(database) as other:
        other.execute("SELECT 1 FROM llm_lanes WHERE lane=%s FOR UPDATE", (lane,))
        assert [claim["lane"] for claim in queue.claim(worker)] != []
        assert all(
            claim["lane"] != lane
            for claim in queue.all("SELECT * FROM llm_requests WHERE status='processing'")
        )


def test_a_worker_whose_lease_ended_may_not_claim(queue: Queue) -> None:
    queue.insert()
    worker = queue.worker(lease=15)
    queue.advance(seconds=16)
    with pytest.raises(psycopg.Error) as raised:
        queue.claim(worker)
    assert raised.value.sqlstate == "LQ001"


def test_an_unpriced_model_is_claimed_without_a_hold_and_says_so(queue: Queue) -> None:
    queue.insert(provider="openai", model="house-model")
    claim = queue.claim_one(worker := queue.worker())
    assert claim["priced"] is False
    queue.finish(worker, claim)
    row = queue.one("SELECT * FROM llm_requests")
    assert (row["status"], row["cost_usd"]) == ("completed", None)
