"""The completer's order of work: what is ready, what is parked until when, and how much goes in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmreq.worker.backlog import Backlog, Batch, Hold
from llmreq.worker.report import Report, report

WHEN = datetime(2026, 11, 21, tzinfo=UTC)


def outcome(number: int, size: int = 10) -> Report:
    return report(UUID(int=number), 1, WHEN, {"response": "x" * size})


def backlog(count: int = 0, **bounds: int) -> Backlog:
    """No chance in it: a pause is as long as it can be."""
    made = Backlog(chance=lambda: 1.0, **bounds)
    for number in range(count):
        made.put(outcome(number))
    return made


def numbers(batch: Batch | None) -> list[int]:
    return [report.id.int for report in batch.reports] if batch else []


def take(waiting: Backlog, now: float = 0.0) -> Batch:
    batch = waiting.take(now)
    assert batch is not None
    return batch


def test_a_batch_is_bounded_by_count() -> None:
    waiting = backlog(5, batch_size=2)
    assert [numbers(waiting.take(0.0)) for _ in range(4)] == [[0, 1], [2, 3], [4], []]


def test_a_batch_is_bounded_by_bytes_and_a_larger_outcome_goes_alone() -> None:
    waiting = Backlog(batch_bytes=1_000)
    for number, size in enumerate((10, 10, 5_000, 10)):
        waiting.put(outcome(number, size))
    assert [numbers(waiting.take(0.0)) for _ in range(4)] == [[0, 1], [2], [3], []]


def test_settled_outcomes_free_their_bytes() -> None:
    waiting = backlog(2)
    assert waiting.size_bytes == 2 * len(outcome(0).encoded)
    for key in take(waiting).keys:
        waiting.settle(key)
    assert (len(waiting), waiting.size_bytes) == (0, 0)


def test_the_same_claim_again_is_one_outcome() -> None:
    waiting = backlog(1)
    waiting.put(outcome(0, size=500))
    assert (len(waiting), waiting.size_bytes) == (1, len(outcome(0, size=500).encoded))
    assert numbers(waiting.take(0.0)) == [0]


@pytest.mark.parametrize("hold", Hold)
def test_a_pause_grows_from_its_first_to_its_longest(hold: Hold) -> None:
    first, longest = hold.pauses_seconds
    waiting = backlog(1)
    pauses, now = [], 0.0
    for _ in range(20):
        waiting.park(take(waiting, now).keys, hold, now)
        rest = waiting.rest_seconds(now)
        assert rest is not None
        assert waiting.take(now + rest * 0.99) is None
        pauses.append(round(rest, 6))
        now += rest
    assert pauses[:3] == [first, first * 2, first * 4]
    assert pauses == sorted(pauses)
    assert pauses[-1] == longest


def test_another_reason_begins_with_a_short_pause_again() -> None:
    waiting = backlog(1)
    now = 0.0
    for _ in range(6):
        waiting.park(take(waiting, now).keys, Hold.BLOCKED, now)
        now += 10
    assert waiting.park(take(waiting, now).keys, Hold.LOCKED, now) == [(UUID(int=0), 1)]
    assert waiting.rest_seconds(now) == pytest.approx(0.05)


def test_parking_tells_what_is_new() -> None:
    waiting = backlog(2)
    keys = take(waiting).keys
    assert waiting.park(keys, Hold.REFUSED, 0.0) == keys
    assert waiting.park(take(waiting, 1.0).keys, Hold.REFUSED, 1.0) == []


def test_parked_outcomes_never_stand_before_fresh_ones() -> None:
    waiting = backlog(4, batch_size=2)
    waiting.park(take(waiting).keys, Hold.REFUSED, 0.0)
    assert numbers(waiting.take(0.0)) == [2, 3]


def test_fresh_and_returning_outcomes_take_turns_and_never_mix() -> None:
    waiting = backlog(2)
    waiting.park(take(waiting).keys, Hold.LOCKED, 0.0)
    for number in range(2, 8):
        waiting.put(outcome(number))
    waiting.batch_size = 2
    assert [numbers(waiting.take(1.0)) for _ in range(5)] == [[0, 1], [2, 3], [4, 5], [6, 7], []]
    again = backlog(6, batch_size=2)
    again.put_back(take(again))
    again.put_back(take(again))
    assert [numbers(again.take(1.0)) for _ in range(4)] == [[2, 3], [0, 1], [4, 5], []]


def test_what_is_refused_returns_alone() -> None:
    waiting = backlog(3)
    waiting.park(take(waiting).keys, Hold.REFUSED, 0.0)
    assert [len(numbers(waiting.take(1.0))) for _ in range(4)] == [1, 1, 1, 0]


def test_while_some_are_blocked_others_are_asked_about_first() -> None:
    waiting = backlog(1)
    assert not take(waiting).ask_first
    waiting.park([(UUID(int=0), 1)], Hold.BLOCKED, 0.0)
    waiting.put(outcome(1))
    assert take(waiting).ask_first  # the fresh one: it may need the same lock
    returned = take(waiting, 1.0)
    assert (numbers(returned), returned.ask_first) == ([0], True)
    waiting.put(outcome(2))
    assert not take(waiting, 1.0).ask_first


def test_halves_are_tried_before_what_came_after_them() -> None:
    waiting = backlog(4)
    waiting.split(take(waiting))
    assert [numbers(waiting.take(0.0)) for _ in range(3)] == [[0, 1], [2, 3], []]


def test_the_database_is_behind_until_what_met_its_failure_is_settled_or_parked() -> None:
    waiting = backlog(3)
    batch = take(waiting)
    assert not waiting.is_behind
    waiting.put_back(batch)
    waiting.fall_behind()
    waiting.put(outcome(9))
    keys = take(waiting).keys
    waiting.settle(keys[0])
    waiting.settle(keys[1])
    assert waiting.is_behind
    waiting.park([keys[2]], Hold.BLOCKED, 0.0)
    assert not waiting.is_behind  # the fresh one met no failure


def test_what_is_parked_is_counted_by_its_reason() -> None:
    waiting = backlog(3)
    first, second, third = take(waiting).keys
    waiting.park([first, second], Hold.REFUSED, 0.0)
    waiting.park([third], Hold.LOCKED, 0.0)
    assert (waiting.parked(Hold.REFUSED), waiting.parked(Hold.LOCKED)) == (2, 1)
    take(waiting, 0.1)
    assert (waiting.parked(Hold.REFUSED), waiting.parked(Hold.LOCKED)) == (2, 0)


FATES = st.sampled_from(["settle", "put_back", "split", *Hold])


@settings(max_examples=100)
@given(
    sizes=st.lists(st.integers(0, 300), max_size=30),
    fates=st.lists(FATES, max_size=60),
    steps=st.lists(st.sampled_from([0.0, 0.01, 0.3, 3.0]), min_size=60, max_size=60),
)
def test_no_outcome_is_ever_lost_or_in_two_hands(
    sizes: Sequence[int], fates: Sequence[str | Hold], steps: Sequence[float]
) -> None:
    waiting = Backlog(batch_size=4, batch_bytes=600)
    for number, size in enumerate(sizes):
        waiting.put(outcome(number, size))
    now = 0.0
    for fate, step in zip(fates, steps, strict=False):
        now += step
        batch = waiting.take(now)
        if batch is None:
            continue
        assert 0 < len(batch.reports) <= 4
        assert len(batch.reports) == 1 or sum(len(each.encoded) for each in batch.reports) <= 600
        _meet(waiting, batch, fate, now)
    seen: list[int] = []
    while (rest := waiting.rest_seconds(now)) is not None:
        now += rest
        batch = take(waiting, now)
        seen += numbers(batch)
        for key in batch.keys:
            waiting.settle(key)
    assert len(seen) == len(set(seen))
    assert (len(waiting), waiting.size_bytes, waiting.is_behind) == (0, 0, False)


def _meet(waiting: Backlog, batch: Batch, fate: str | Hold, now: float) -> None:
    if isinstance(fate, Hold):
        waiting.park(batch.keys, fate, now)
    elif fate == "split" and len(batch.reports) > 1:
        waiting.split(batch)
    elif fate == "settle":
        for key in batch.keys:
            waiting.settle(key)
    else:
        waiting.put_back(batch)
        waiting.fall_behind()
