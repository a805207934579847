"""Waiting for requests to end, as plans of steps: one look is for everybody who waits through one client."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from llmreq.errors import DatabaseUnavailableError
from llmreq.limits import FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS, MAX_LOOK_SHARE, STREAM_BATCH
from llmreq.producer.request import ENDED, Request
from llmreq.producer.step import Pause, Query, Steps, sql_of
from llmreq.producer.steps import all_exist, enqueue, get_many

T = TypeVar("T")
Clock = Callable[[], float]


@dataclass(slots=True)
class Watch:
    """The requests that anybody waits for through one client, and what the last look at them found.

    `ended` is in the order of their ends, as far as looks can tell; `statuses` says None for no such request.
    """

    counts: dict[UUID, int] = field(default_factory=dict)
    statuses: dict[UUID, str | None] = field(default_factory=dict)
    ended: dict[UUID, None] = field(default_factory=dict)
    looked_at: float = float("-inf")
    look_seconds: float = 0.0

    def add(self, ids: Iterable[UUID]) -> None:
        """Somebody waits for these."""
        for id in ids:
            self.counts[id] = self.counts.get(id, 0) + 1

    def drop(self, ids: Iterable[UUID]) -> None:
        """Somebody does not any more."""
        for id in ids:
            self.counts[id] -= 1
            if not self.counts[id]:
                del self.counts[id]
                self.statuses.pop(id, None)
                self.ended.pop(id, None)

    def note(self, id: UUID, status: str | None) -> None:
        """One request's status as it was read; a retry has taken back the end of one that runs again."""
        if id not in self.counts:
            return
        self.statuses[id] = status
        if status in ENDED:
            self.ended.setdefault(id)
        else:
            self.ended.pop(id, None)


def wait_all(
    watch: Watch, ids: Sequence[UUID], timeout_seconds: float, clock: Clock = time.monotonic
) -> Steps[list[Request]]:
    """Wait until every request has ended. Raises TimeoutError. A database that goes away is waited for."""
    until = clock() + timeout_seconds
    watch.add(ids)
    try:
        while True:
            left = dict.fromkeys(ids)
            while left:
                for id in (yield from _next_ended(watch, left, until, timeout_seconds, clock)):
                    del left[id]
            found = yield from get_many(ids)
            for request in found:
                watch.note(request.id, request.status)
            if all(request.ended for request in found):
                return found
    finally:
        watch.drop(ids)


def stream(
    watch: Watch, ids: Iterable[UUID], timeout_seconds: float, clock: Clock = time.monotonic
) -> Generator[Steps[list[Request]]]:
    """Plans to run one after the other; each gives the requests that ended next, until none is left."""
    until = clock() + timeout_seconds
    left = dict.fromkeys(ids)
    watch.add(left)
    try:
        while left:
            yield _next_requests(watch, left, until, timeout_seconds, clock)
    finally:
        watch.drop(left)


def ask(
    watch: Watch, request: Mapping[str, Any], response_model: type[T], timeout_seconds: float
) -> Steps[T]:
    """Enqueue, wait, and read the answer as the model."""
    id = yield from enqueue({**request, "response_model": response_model})
    (ended,) = yield from wait_all(watch, [id], timeout_seconds)
    return ended.parsed_as(response_model)


def _next_requests(
    watch: Watch, left: dict[UUID, None], until: float, timeout_seconds: float, clock: Clock
) -> Steps[list[Request]]:
    """The next few that ended; they are taken out of `left`."""
    ended = yield from _next_ended(watch, left, until, timeout_seconds, clock)
    found = yield from get_many(list(islice(ended, STREAM_BATCH)))
    for request in found:
        watch.note(request.id, request.status)
    done = [request for request in found if request.ended]
    for request in done:
        del left[request.id]
    watch.drop(request.id for request in done)
    return done


def _next_ended(
    watch: Watch, left: Collection[UUID], until: float, timeout_seconds: float, clock: Clock
) -> Steps[list[UUID]]:
    """Those of `left` that have ended, at least one, in the order of their ends."""
    pause = FIRST_LOOK_SECONDS
    while True:
        if any(id not in watch.statuses for id in left) or clock() - watch.looked_at >= pause * 0.9:
            yield from _look(watch, clock, until)
        all_exist(left, (id for id in left if watch.statuses.get(id, "unknown")))
        ended = [id for id in list(watch.ended) if id in left]
        if ended:
            return ended
        if clock() >= until:
            raise TimeoutError(_not_ended(list(left), timeout_seconds))
        longest = max(pause, watch.look_seconds / MAX_LOOK_SHARE)
        yield Pause(max(0.0, min(longest, until - clock())))
        pause = min(LONGEST_LOOK_SECONDS, pause * 1.5)


def _look(watch: Watch, clock: Clock, until: float) -> Steps[None]:
    watch.looked_at = began = clock()
    ids = [id for id in list(watch.counts) if id not in watch.ended]
    try:
        rows = yield Query(sql_of("statuses"), {"ids": ids})
    except (psycopg.OperationalError, DatabaseUnavailableError):
        if clock() >= until:
            raise
        return
    watch.look_seconds = clock() - began
    seen = {row["id"]: row["status"] for row in rows}
    for id, status in seen.items():
        watch.note(id, status)
    for id in ids:
        if id not in seen:
            watch.note(id, None)


def _not_ended(left: Sequence[UUID], timeout_seconds: float) -> str:
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return f"request {left[0]}{more} has not ended within {timeout_seconds:g} seconds"
