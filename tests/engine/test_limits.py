"""Requests and tokens per minute, in the claim, for the whole fleet."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.engine.queue import Queue

LANE = "openai/gpt-6-luna"


def limit(queue: Queue, lane: str = LANE, **columns: Any) -> None:
    """Set a lane's limits; without margin and with a burst of one second unless said."""
    provider, _, model = lane.partition("/")
    columns = {"safety_margin": 1, "burst_seconds": 1, **columns}
    names = ", ".join(columns)
    queue.run(
        f"INSERT INTO llm_lanes (lane, provider, model, {names}) VALUES (%s, %s, %s{', %s' * len(columns)})",
        lane, provider, model, *columns.values(),
    )  # fmt: skip


def fill(queue: Queue, count: int, **columns: Any) -> None:
    for _ in range(count):
        queue.insert(**columns)


def sized(input_tokens: int, output_cap: int = 10) -> dict[str, Any]:
    """Columns of a request that holds so many tokens."""
    return {
        "estimated_tokens": input_tokens + output_cap,
        "params": {"max_output_tokens": output_cap},
        "provider": "openai",
        "model": "gpt-6-luna",
    }


def test_requests_per_minute_are_given_out_as_time_passes_and_fractions_are_kept(queue: Queue) -> None:
    limit(queue, requests_per_minute=600)  # ten a second
    fill(queue, 40)
    worker = queue.worker(lease=600)
    assert len(queue.claim(worker, 50)) == 10
    counts = []
    for _ in range(20):
        queue.advance(milliseconds=70)  # 0.7 of a request each
        counts.append(len(queue.claim(worker, 50)))
    assert sum(counts) == 14
    assert set(counts) == {0, 1}


def test_the_margin_and_the_burst_bound_what_an_idle_lane_may_send_at_once(queue: Queue) -> None:
    limit(queue, requests_per_minute=600, safety_margin=0.9, burst_seconds=3)
    fill(queue, 60)
    worker = queue.worker(lease=600)
    assert len(queue.claim(worker, 60)) == 9
    queue.advance(minutes=5)
    assert len(queue.claim(worker, 60)) == 27


def test_one_worker_takes_what_another_leaves_and_no_more(queue: Queue) -> None:
    limit(queue, requests_per_minute=600)
    fill(queue, 40)
    first, second = queue.worker(), queue.worker()
    assert len(queue.claim(first, 6)) == 6
    assert len(queue.claim(second, 50)) == 4
    assert queue.claim(first, 50) == []


def test_a_lane_of_few_requests_a_minute_still_sends_one(queue: Queue) -> None:
    limit(queue, requests_per_minute=3)
    fill(queue, 3)
    worker = queue.worker(lease=600)
    assert queue.claim(worker) == []  # it begins with a second's worth
    queue.advance(seconds=19)
    assert len(queue.claim(worker)) == 1
    queue.advance(seconds=19)
    assert queue.claim(worker) == []
    queue.advance(seconds=2)
    assert len(queue.claim(worker)) == 1


def test_tokens_are_held_at_the_claim_and_settled_to_what_was_used(queue: Queue) -> None:
    limit(queue, tokens_per_minute=60_000, burst_seconds=10, counts_output_cap=False)
    fill(queue, 1, **sized(500, 500))
    worker = queue.worker()
    claim = queue.claim_one(worker)
    assert queue.lane()["token_level"] == pytest.approx(1000 - 1000)
    queue.finish(worker, claim, input_tokens=300, output_tokens=100)
    assert queue.lane()["token_level"] == pytest.approx(600)


def test_use_beyond_the_hold_is_charged_as_debt_and_paid_before_the_next_row(queue: Queue) -> None:
    limit(queue, tokens_per_minute=60_000, counts_output_cap=False)
    fill(queue, 2, **sized(90))
    worker = queue.worker(lease=600)
    claim = queue.claim(worker, 1)[0]
    queue.finish(worker, claim, input_tokens=5000, output_tokens=900)
    assert queue.lane()["token_level"] == pytest.approx(1000 - 5900)
    queue.advance(seconds=4.8)
    assert queue.claim(worker) == []
    queue.advance(seconds=0.2)
    assert len(queue.claim(worker)) == 1


def test_what_the_provider_counts_by_its_cap_does_not_come_back(queue: Queue) -> None:
    limit(queue, tokens_per_minute=60_000, burst_seconds=10)  # OpenAI counts the cap
    fill(queue, 1, **sized(100, 400))
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker), input_tokens=100, output_tokens=10)
    assert queue.lane()["token_level"] == pytest.approx(1000 - 500)


@pytest.mark.parametrize(
    ("outcome", "facts", "requests", "tokens"),
    [
        ("released", {}, 10, 1000),
        ("invalid_request", {}, 10, 1000),
        ("rate_limited", {"http_status": 429, "retry_after_seconds": 0.001}, 9, 1000),
        ("provider_timeout", {"billed": "upper_bound"}, 9, 890),
    ],
)
def test_only_what_the_provider_did_not_count_comes_back(
    queue: Queue, outcome: str, facts: dict[str, Any], requests: float, tokens: float
) -> None:
    limit(queue, requests_per_minute=600, tokens_per_minute=60_000)
    fill(queue, 1, **sized(100))
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker), outcome, **facts)
    lane = queue.lane()
    assert (lane["request_level"], lane["token_level"], lane["in_flight"]) == (
        pytest.approx(requests), pytest.approx(tokens), 0,
    )  # fmt: skip


def test_tokens_of_a_lost_call_do_not_come_back_but_its_place_does(queue: Queue) -> None:
    limit(queue, tokens_per_minute=60_000, max_in_flight=1)
    fill(queue, 1, **sized(400))
    queue.claim_one(queue.worker(lease=1))
    queue.advance(seconds=2)
    queue.run("UPDATE llm_lanes SET refilled_at = llmreq_now()")
    assert queue.rescue() == 1
    assert (queue.lane()["in_flight"], queue.lane()["token_level"]) == (0, pytest.approx(590))


def test_input_and_output_tokens_may_have_limits_apart_and_cache_reads_count_by_policy(queue: Queue) -> None:
    lane = "anthropic/claude-haiku-5-5"
    limit(queue, lane, input_tokens_per_minute=60_000, output_tokens_per_minute=6_000, burst_seconds=10)
    columns = sized(500, 50) | {"provider": "anthropic", "model": "claude-haiku-5-5"}
    fill(queue, 5, **columns)
    worker = queue.worker()
    claims = queue.claim(worker)
    assert len(claims) == 2  # 1,000 tokens in; 100 out
    for claim in claims:
        queue.finish(worker, claim, input_tokens=100, cache_read_tokens=400, output_tokens=20)
    levels = queue.lane(lane)
    assert (levels["input_level"], levels["output_level"]) == (pytest.approx(800), pytest.approx(60))


def test_a_row_larger_than_what_is_left_blocks_no_small_one_and_waits_for_no_full_bucket(
    queue: Queue,
) -> None:
    limit(queue, tokens_per_minute=60_000)
    fill(queue, 1, **sized(5000))
    fill(queue, 3, **sized(90))
    worker = queue.worker(lease=600)
    assert len(queue.claim(worker)) == 1  # the big one, in debt by 4,010
    queue.advance(seconds=4)
    assert queue.claim(worker) == []
    queue.advance(seconds=0.3)
    assert len(queue.claim(worker)) == 3


def test_the_limits_of_a_provider_hold_for_all_its_lanes_together(queue: Queue) -> None:
    limit(queue, "openai/*", requests_per_minute=600, tokens_per_minute=60_000_000, max_in_flight=8)
    for _ in range(10):
        queue.insert(provider="openai", model="gpt-6-luna")
        queue.insert(provider="openai", model="gpt-6-sol")
        queue.insert(provider="anthropic", model="claude-haiku-5-5")
    worker = queue.worker()
    claims = queue.claim(worker, 100)
    by_provider = [claim["lane"].split("/")[0] for claim in claims]
    assert (by_provider.count("openai"), by_provider.count("anthropic")) == (8, 10)
    for claim in claims:
        queue.finish(worker, claim)
    provider = queue.lane("openai/*")
    assert (provider["in_flight"], provider["request_level"]) == (0, pytest.approx(2))
    assert len([c for c in queue.claim(worker, 100) if c["lane"].startswith("openai")]) == 2


def test_headers_lower_a_level_but_an_operators_limit_stands(queue: Queue) -> None:
    limit(queue, requests_per_minute=600, tokens_per_minute=60_000)
    fill(queue, 3, **sized(10))
    worker = queue.worker(lease=600)
    first, second, third = queue.claim(worker)
    rate = {"requests": {"limit": 6000, "remaining": 5999}, "tokens": {"limit": 60_000, "remaining": 3}}
    queue.finish(worker, first, rate=rate, input_tokens=10)
    lane = queue.lane()
    assert (lane["request_level"], lane["token_level"]) == (pytest.approx(7), pytest.approx(3))
    rate = {"requests": {"limit": 60, "remaining": 50}, "tokens": {"limit": 90_000, "remaining": 80_000}}
    queue.finish(worker, second, rate=rate)
    queue.advance(seconds=10)
    fill(queue, 80, **sized(10))
    assert len(queue.claim(worker, 100)) == 10  # ten a second still, with a burst of one second
    queue.finish(worker, third)


def test_a_lane_without_limits_learns_them_from_the_headers(queue: Queue) -> None:
    fill(queue, 30)
    worker = queue.worker(lease=600)
    queue.finish(worker, queue.claim(worker, 1)[0], rate={"requests": {"limit": 120, "remaining": 119}})
    queue.advance(seconds=60)
    assert len(queue.claim(worker, 50)) == 9  # 1.8 a second, a burst of 5 seconds


def test_levels_are_paid_by_the_databases_clock_even_when_it_goes_back(queue: Queue) -> None:
    limit(queue, requests_per_minute=600)
    fill(queue, 20)
    worker = queue.worker(lease=6000)
    assert len(queue.claim(worker, 4)) == 4
    queue.advance(seconds=-100)
    queue.run("UPDATE llm_requests SET scheduled_at = llmreq_now() WHERE status = 'pending'")
    assert len(queue.claim(worker, 50)) == 6
    assert queue.claim(worker, 50) == []


def test_a_limit_must_be_positive(queue: Queue) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="llm_lanes_limits_check"):
        limit(queue, requests_per_minute=0)
