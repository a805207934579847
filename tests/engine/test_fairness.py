"""Who comes next: tenants by weight in tokens, priorities with a share for the oldest, pauses."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.engine.queue import Queue
from tests.engine.test_limits import limit, sized


def serve(queue: Queue, worker: int, turns: int, room: int, seconds: float = 0) -> list[dict[str, Any]]:
    """Claim and finish, turn by turn; the claims in order."""
    served = []
    for _ in range(turns):
        queue.advance(seconds=seconds)
        claims = queue.claim(worker, room)
        for claim in claims:  # at what was estimated, so that the level only falls
            queue.finish(worker, claim, input_tokens=queue.request(claim)["estimated_tokens"] - 10)
        served += claims
    return served


def put(queue: Queue, tenant: str, count: int, tokens: int = 100, **columns: Any) -> None:
    for _ in range(count):
        queue.insert(tenant_id=tenant, **sized(tokens - 10), **columns)


def test_tenants_share_a_lane_by_tokens_not_by_rows(queue: Queue) -> None:
    put(queue, "large", 60, tokens=1000)
    put(queue, "small", 300, tokens=100)
    served = Counter(claim["tenant_id"] for claim in serve(queue, queue.worker(lease=600), 22, 5))
    assert 8 <= served["small"] / served["large"] <= 12


def test_a_weight_is_a_share(queue: Queue) -> None:
    queue.run("INSERT INTO llm_tenants (tenant_id, weight) VALUES ('gold', 3)")
    put(queue, "gold", 100)
    put(queue, "plain", 100)
    served = Counter(claim["tenant_id"] for claim in serve(queue, queue.worker(lease=600), 20, 4))
    assert (served["gold"], served["plain"]) == (60, 20)


def test_shares_are_fair_when_tokens_trickle_in_one_row_at_a_time(queue: Queue) -> None:
    limit(queue, tokens_per_minute=60_000, counts_output_cap=True, burst_seconds=0.5)
    put(queue, "large", 30, tokens=1000)
    put(queue, "small", 200, tokens=100)
    served = Counter(
        claim["tenant_id"] for claim in serve(queue, queue.worker(lease=6000), 200, 50, seconds=0.1)
    )
    assert 7 <= served["small"] / served["large"] <= 13


def test_a_share_that_nobody_uses_goes_to_the_others(queue: Queue) -> None:
    put(queue, "a", 3)
    put(queue, "b", 40)
    served = Counter(claim["tenant_id"] for claim in serve(queue, queue.worker(), 2, 10))
    assert (served["a"], served["b"]) == (3, 17)


def test_a_tenant_that_was_away_is_owed_nothing_for_that_time(queue: Queue) -> None:
    worker = queue.worker(lease=600)
    put(queue, "busy", 60)
    put(queue, "late", 1)
    serve(queue, worker, 4, 10)
    put(queue, "late", 30)
    served = Counter(claim["tenant_id"] for claim in serve(queue, worker, 4, 5))
    assert 9 <= served["late"] <= 11


def test_every_one_of_many_tenants_is_served_before_any_is_served_thrice(queue: Queue) -> None:
    queue.run(
        "INSERT INTO llm_requests (tenant_id, provider, model, content)"
        " SELECT 't' || n %% 300, 'openai', 'gpt-6-luna', 'x' FROM generate_series(1, 1500) n"
    )
    served = Counter(claim["tenant_id"] for claim in serve(queue, queue.worker(lease=600), 14, 50))
    assert len(served) == 300
    assert max(served.values()) <= 3


def test_the_last_priority_gets_a_tenth(queue: Queue) -> None:
    put(queue, "t", 10, priority=9)
    queue.advance(seconds=1)
    put(queue, "t", 100, priority=0)
    served = serve(queue, queue.worker(lease=600), 50, 1)
    late = [n for n, claim in enumerate(served) if queue.request(claim)["priority"] == 9]
    assert late == [9, 19, 29, 39, 49]


def test_a_due_row_behind_thousands_of_tenants_with_delayed_ones_is_found(queue: Queue) -> None:
    queue.run(
        "INSERT INTO llm_requests (tenant_id, provider, model, content, scheduled_at)"
        " SELECT 't' || n, 'openai', 'gpt-6-luna', 'x', llmreq_now() + interval '1 day' FROM generate_series(1, 2500) n"
    )
    queue.insert(tenant_id="zz")
    worker = queue.worker()
    assert [claim["tenant_id"] for _ in range(4) for claim in queue.claim(worker)] == ["zz"]


def test_a_lane_a_provider_a_tenant_and_everything_can_be_paused(queue: Queue) -> None:
    queue.insert(tenant_id="a")
    queue.insert(tenant_id="b", provider="openai", model="gpt-6-sol")
    queue.insert(tenant_id="c", provider="anthropic", model="claude-haiku-5-5")
    worker = queue.worker()

    def claimable() -> set[str]:
        queue.run("BEGIN")
        tenants = {claim["tenant_id"] for claim in queue.claim(worker)}
        queue.run("ROLLBACK")
        return tenants

    assert claimable() == {"a", "b", "c"}
    queue.run("INSERT INTO llm_tenants (tenant_id, paused) VALUES ('b', true)")
    assert claimable() == {"a", "c"}
    queue.run(
        "INSERT INTO llm_lanes (lane, provider, model, paused) VALUES ('openai/*', 'openai', '*', true)"
    )
    assert claimable() == {"c"}
    queue.run("INSERT INTO llm_lanes (lane, provider, model, paused) VALUES ('*/*', '*', '*', true)")
    assert claimable() == set()
    queue.run("UPDATE llm_lanes SET paused = false")
    assert claimable() == {"a", "c"}


def test_a_mark_hides_nothing_that_is_inserted_behind_it(queue: Queue) -> None:
    put(queue, "t", 40)
    worker = queue.worker(lease=600)
    queue.advance(seconds=5)
    assert len(serve(queue, worker, 2, 20)) == 40
    assert queue.one("SELECT count(*) AS n FROM llm_marks")["n"] == 1
    early = queue.insert(tenant_id="t", scheduled_at=queue.now.replace(hour=11), **sized(10))
    assert [claim["id"] for claim in queue.claim(worker)] == [early["id"]]


def test_the_walk_goes_around_marks_and_still_finds_what_lies_between(queue: Queue) -> None:
    for tenant in ("b", "d"):
        put(queue, tenant, 10, priority=3)
    worker = queue.worker(lease=600)
    queue.advance(seconds=5)
    assert len(queue.claim(worker, 20)) == 20
    assert queue.one("SELECT count(*) AS n FROM llm_marks")["n"] == 2
    expected = set()
    for tenant, priority in (("a", 5), ("b", 0), ("b", 3), ("b", 9), ("c", 5), ("d", 1), ("d", 8), ("e", 2)):
        expected.add(queue.insert(tenant_id=tenant, priority=priority, **sized(10))["id"])
    found = {claim["id"] for claim in queue.claim(worker, 20)}
    assert found == expected
