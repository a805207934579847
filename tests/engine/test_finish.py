"""The finish: what is booked, what becomes of the request, and what a second report changes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from psycopg.types.json import Json

from tests.engine.queue import Queue, told

DECODE = [{"type": "json_decode_error", "field": None, "message": "unexpected end", "position": 4}]
TYPE = [{"type": "schema_error", "field": "age", "message": "must be integer", "rule": "type"}]

# gpt-6-luna: 0.10 in, 0.01 cached, 0.125 written, 0.50 out per million tokens
LUNA = Decimal("100") * Decimal("0.1e-6") + Decimal("10") * Decimal("0.5e-6")


def test_a_good_answer_is_written_costed_and_booked_once(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    done = queue.finish(worker, claim, response='{"a":1}', parsed_response={"a": 1}, latency_ms=120)
    assert (done["accepted"], done["status"]) == (True, "completed")
    end = queue.request(row)
    assert (end["parsed_response"], end["attempts"], end["cost_usd"]) == ({"a": 1}, 1, LUNA)
    assert (end["worker_id"], end["hold_usd"], end["error_code"]) == (None, None, None)
    (attempt,) = queue.attempts(row)
    assert (attempt["outcome"], attempt["accepted"], attempt["cost_usd"], attempt["cost_basis"]) == (
        "completed",
        True,
        LUNA,
        "usage",
    )
    assert attempt["price_id"] is not None
    assert queue.lane()["in_flight"] == 0


def test_every_bucket_has_its_own_price(queue: Queue) -> None:
    row = queue.insert(provider="anthropic", model="claude-haiku-5-5")
    worker = queue.worker()
    queue.finish(
        worker, queue.claim_one(worker), input_tokens=1000, cache_read_tokens=2000, cache_write_5m_tokens=300,
        cache_write_1h_tokens=40, output_tokens=500, reasoning_tokens=200,
    )  # fmt: skip
    end = queue.request(row)
    expected = (
        Decimal("1000") * Decimal("0.10")
        + 2000 * Decimal("0.01")
        + 300 * Decimal("0.125")
        + 40 * Decimal("0.20")
        + 500 * Decimal("0.50")
    )
    assert end["cost_usd"] == expected * Decimal("1e-6")
    assert (end["cache_write_tokens"], end["reasoning_tokens"]) == (340, 200)


def test_a_long_prompt_is_priced_by_its_threshold(queue: Queue) -> None:
    row = queue.insert(provider="anthropic", model="claude-haiku-5-5")
    worker = queue.worker()
    queue.finish(
        worker, queue.claim_one(worker), input_tokens=60_000, cache_read_tokens=60_000, output_tokens=10
    )
    expected = 60_000 * Decimal("0.50") + 60_000 * Decimal("0.05") + 10 * Decimal("2.50")
    assert queue.request(row)["cost_usd"] == expected * Decimal("1e-6")


def test_a_dated_snapshot_has_its_familys_price(queue: Queue) -> None:
    row = queue.insert(provider="openai", model="gpt-6-luna-2026-10-01")
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker))
    assert queue.request(row)["cost_usd"] == LUNA


def test_a_price_change_counts_from_its_day(queue: Queue) -> None:
    queue.run(
        "INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)"
        " VALUES ('openai', 'gpt-6-luna', %s, 1, 1, 'test')",
        queue.now.replace(hour=13),
    )
    worker = queue.worker(lease=7200)
    before, after = queue.insert(), queue.insert()
    queue.finish(worker, queue.claim(worker, 1)[0])
    queue.advance(hours=1)
    queue.finish(worker, queue.claim(worker, 1)[0])
    assert queue.request(before)["cost_usd"] == LUNA
    assert queue.request(after)["cost_usd"] == Decimal("110e-6")


def test_a_bad_answer_is_asked_again_with_its_errors_then_completes(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    queue.finish(
        worker,
        queue.claim_one(worker),
        "malformed_json",
        response='{"a"',
        validation_errors=DECODE,
        error_message="x",
    )
    between = queue.request(row)
    assert (between["status"], between["error_code"], between["response"]) == (
        "pending",
        "malformed_json",
        '{"a"',
    )
    again = queue.claim_one(worker)
    asked = queue.request(row)
    assert (asked["response"], asked["validation_errors"], again["attempt"]) == ('{"a"', DECODE, 2)
    queue.finish(worker, again, response="{}", parsed_response={})
    end = queue.request(row)
    assert (end["status"], end["attempts"], end["validation_errors"], end["error_code"]) == (
        "completed",
        2,
        None,
        None,
    )
    assert (end["input_tokens"], end["cost_usd"]) == (200, 2 * LUNA)
    assert [a["validation_errors"] for a in queue.attempts(row)] == [DECODE, None]


def test_the_same_mistake_twice_is_not_asked_a_third_time(queue: Queue) -> None:
    row = queue.insert(max_attempts=10)
    worker = queue.worker()
    for _ in range(2):
        queue.finish(
            worker,
            queue.claim_one(worker),
            "schema_mismatch",
            response='{"age":"x"}',
            validation_errors=TYPE,
            error_message="age",
        )
    end = queue.request(row)
    assert (end["status"], end["error_code"], end["attempts"]) == ("failed", "schema_mismatch", 2)
    assert end["response"] == '{"age":"x"}'
    assert end["validation_errors"] == TYPE


def test_a_routed_request_moves_on_to_the_next_candidate_and_starts_afresh(queue: Queue) -> None:
    worker = queue.worker("openai", "anthropic")
    row = queue.one("INSERT INTO llm_requests (content, max_attempts) VALUES ('hi', 5) RETURNING *")
    for _ in range(2):
        queue.finish(
            worker,
            queue.claim_one(worker),
            "schema_mismatch",
            response="{}",
            validation_errors=TYPE,
            error_message="age",
        )
    moved = queue.claim_one(worker)
    assert moved["lane"] == "anthropic/claude-haiku-5-5"
    afresh = queue.request(row)
    assert (afresh["response"], afresh["validation_errors"]) == (None, None)
    queue.finish(worker, moved)
    end = queue.request(row)
    assert (end["provider"], end["attempts"]) == ("anthropic", 3)


def test_attempts_end(queue: Queue) -> None:
    row = queue.insert(max_attempts=2)
    worker = queue.worker(lease=7200)
    for _ in range(2):
        queue.finish(
            worker, queue.claim_one(worker), "provider_unavailable", error_message="503", http_status=503
        )
        queue.advance(minutes=2)
    assert (queue.request(row)["status"], queue.request(row)["attempts"]) == ("failed", 2)


def test_a_transport_failure_waits_and_keeps_what_was_being_mended(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    queue.finish(
        worker,
        queue.claim_one(worker),
        "malformed_json",
        response='{"a"',
        validation_errors=DECODE,
        error_message="x",
    )
    queue.finish(
        worker, queue.claim_one(worker), "provider_unavailable", http_status=503, retry_after_seconds=3
    )
    waiting = queue.request(row)
    assert (waiting["status"], waiting["wait_reason"]) == ("pending", "backoff")
    assert (waiting["scheduled_at"] - queue.now).total_seconds() >= 3
    assert waiting["response"] == '{"a"'
    assert waiting["validation_errors"] == DECODE


def test_a_429_is_not_an_attempt_and_blocks_the_lane_for_all(queue: Queue) -> None:
    row, other = queue.insert(), queue.insert()
    worker, second = queue.worker(), queue.worker()
    claim = queue.claim(worker, 1)[0]
    queue.finish(
        worker, claim, "rate_limited", retry_after_seconds=7, error_message="slow down", http_status=429
    )
    waiting = queue.request(row)
    assert (waiting["status"], waiting["attempts"], waiting["wait_reason"]) == ("pending", 0, "rate_limit")
    assert queue.claim(second) == []
    queue.advance(seconds=8)
    assert {claim["id"] for claim in queue.claim(second)} == {row["id"], other["id"]}


@pytest.mark.parametrize(
    "code", ["invalid_request", "refused", "content_filtered", "unknown_model", "context_overflow"]
)
def test_what_a_second_call_cannot_mend_fails_at_once(queue: Queue, code: str) -> None:
    row = queue.insert()
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker), code, error_message="no", http_status=400)
    end = queue.request(row)
    assert (end["status"], end["error_code"], end["attempts"]) == ("failed", code, 1)


def test_a_cut_answer_is_asked_again_with_a_larger_cap(queue: Queue) -> None:
    row = queue.insert(params={"max_output_tokens": 30_000}, max_attempts=9)
    worker = queue.worker()
    caps = []
    while (claims := queue.claim(worker)) and len(caps) < 9:
        caps.append(claims[0]["max_output_tokens"])
        queue.finish(worker, claims[0], "truncated", response="half", error_message="cut")
    assert caps == [30_000, 60_000, 64_000]
    assert queue.request(row)["error_code"] == "truncated"


def test_a_wrong_key_opens_the_breaker_and_one_probe_closes_it(queue: Queue) -> None:
    rows = [queue.insert() for _ in range(3)]
    worker = queue.worker(lease=7200)
    queue.finish(
        worker, queue.claim(worker, 1)[0], "authentication", error_message="invalid key", http_status=401
    )
    assert queue.request(rows[0])["error_code"] == "authentication"
    assert (queue.claim(worker), queue.lane()["block_message"]) == ([], "invalid key")
    queue.advance(seconds=6)
    (probe,) = queue.claim(worker)
    assert queue.claim(worker) == []
    queue.finish(worker, probe)
    assert queue.lane()["breaker_opened"] == 0
    assert len(queue.claim(worker)) == 1


def test_five_failures_in_a_row_open_the_breaker_for_longer_each_time(queue: Queue) -> None:
    for _ in range(20):
        queue.insert(max_attempts=1)
    worker = queue.worker(lease=72000)
    claims = queue.claim(worker, 5)
    for claim in claims:
        queue.finish(worker, claim, "provider_unavailable", error_message="503", http_status=503)
    pauses = []
    for _ in range(3):
        pause = (queue.lane()["blocked_until"] - queue.now).total_seconds()
        pauses.append(pause)
        queue.advance(seconds=pause + 0.1)
        queue.finish(
            worker, queue.claim_one(worker), "provider_unavailable", error_message="503", http_status=503
        )
    assert pauses == [5, 10, 20]


def test_reporting_the_same_outcome_twice_changes_nothing(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    queue.finish(worker, claim)
    before, booked = queue.request(row), queue.attempts(row)
    assert queue.finish(worker, claim)["accepted"] is False
    assert (queue.request(row), queue.attempts(row)) == (before, booked)


def test_a_repeated_report_of_a_retry_changes_nothing_either(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    for _ in range(2):
        queue.finish(
            worker, claim, "malformed_json", response="{", validation_errors=DECODE, error_message="x"
        )
    assert queue.request(row)["attempts"] == 1
    assert len(queue.attempts(row)) == 1


def test_two_outcomes_of_one_request_in_a_batch_are_settled_one_at_a_time(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    first = queue.claim_one(worker)
    queue.finish(worker, first, "malformed_json", response="{", validation_errors=DECODE, error_message="x")
    second = queue.claim_one(worker)
    batch: list[dict[str, Any]] = [told(first), told(second)]
    for _ in range(2):
        settled = queue.all("SELECT * FROM llmreq_finish(%s, %s::json)", worker, Json(batch))
        assert len(settled) == 1
        batch = [o for o in batch if o["claim_seq"] != settled[0]["claim_seq"]]
    assert queue.request(row)["status"] == "completed"
    assert len(queue.attempts(row)) == 2


def test_a_call_of_unknown_outcome_is_booked_at_its_upper_bound(queue: Queue) -> None:
    row = queue.insert(max_attempts=1)
    worker = queue.worker()
    claim = queue.claim_one(worker)
    hold = queue.request(row)["hold_usd"]
    queue.finish(worker, claim, "provider_timeout", billed="upper_bound", error_message="30 s")
    (attempt,) = queue.attempts(row)
    assert (attempt["cost_usd"], attempt["cost_basis"]) == (hold, "upper_bound")
    assert queue.request(row)["cost_usd"] == hold


def test_an_unknown_price_stays_null_whatever_follows(queue: Queue) -> None:
    row = queue.insert(provider="openai", model="house-model")
    worker = queue.worker()
    queue.finish(
        worker,
        queue.claim_one(worker),
        "malformed_json",
        response="{",
        validation_errors=DECODE,
        error_message="x",
    )
    queue.finish(worker, queue.claim_one(worker), "provider_unavailable", error_message="x")
    queue.advance(minutes=5)
    assert queue.request(row)["cost_usd"] is None


def test_a_released_call_is_not_charged_and_goes_back(queue: Queue) -> None:
    row = queue.insert()
    worker = queue.worker()
    queue.finish(worker, queue.claim_one(worker), "released", billed="none")
    back = queue.request(row)
    assert (back["status"], back["attempts"], back["error_code"]) == ("pending", 0, None)
    assert [a["accepted"] for a in queue.attempts(row)] == [False]
