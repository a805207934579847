"""Outcomes on their way to Postgres: which are ready, which are set aside until when, and what goes in one statement. Pure.

An outcome is in exactly one place: fresh (just reported), in a batch that waits its turn, taken (the completer has it in
hand), or parked. It leaves by `settle` alone, so no paid answer is dropped (invariant 3); and what cannot be settled now
never stands before what can (invariant 11): fresh outcomes and returning ones take turns, in batches of their own.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count, islice
from uuid import UUID

from llmreq.limits import (
    BLOCKED_PAUSE_SECONDS,
    CONFLICT_PAUSE_SECONDS,
    LOCKED_PAUSE_SECONDS,
    REFUSED_PAUSE_SECONDS,
    SETTLE_BATCH,
    SETTLE_BATCH_BYTES,
)
from llmreq.worker.report import Report

Key = tuple[UUID, int]
"""A claim: request and claim_seq."""


class Hold(Enum):
    """Why an outcome is set aside; its value is the first and the longest pause, in seconds."""

    LOCKED = ("its request's row is locked", *LOCKED_PAUSE_SECONDS)
    BLOCKED = ("its lane, budget or document is locked", *BLOCKED_PAUSE_SECONDS)
    CONFLICT = ("it met another transaction", *CONFLICT_PAUSE_SECONDS)
    TRANSIENT = ("the database could not take it now", *REFUSED_PAUSE_SECONDS)
    REFUSED = ("the database refuses it", *REFUSED_PAUSE_SECONDS)

    @property
    def reason(self) -> str:
        return self.value[0]

    @property
    def pauses_seconds(self) -> tuple[float, float]:
        return self.value[1:]


@dataclass(frozen=True, slots=True)
class Batch:
    """Outcomes for one statement. `ask_first`: some may be blocked, so ask which before anything waits for them."""

    reports: tuple[Report, ...]
    ask_first: bool = False
    broken: int = 0

    @property
    def keys(self) -> list[Key]:
        return [(report.id, report.claim_seq) for report in self.reports]

    def only(self, keys: Collection[Key]) -> Batch:
        """The part with these keys."""
        return replace(self, reports=tuple(r for r in self.reports if (r.id, r.claim_seq) in keys))

    def halves(self) -> tuple[Batch, Batch]:
        middle = len(self.reports) // 2
        return replace(self, reports=self.reports[:middle], broken=0), replace(
            self, reports=self.reports[middle:], broken=0
        )


@dataclass(slots=True)
class _Outcome:
    report: Report
    hold: Hold | None = None
    pause_seconds: float = 0.0
    holds: int = 0
    parked: bool = False


@dataclass
class Backlog:
    """Every outcome that Postgres has not acknowledged. `now` is a monotonic clock's, in seconds."""

    batch_size: int = SETTLE_BATCH
    batch_bytes: int = SETTLE_BATCH_BYTES
    chance: Callable[[], float] = random.random
    size_bytes: int = 0
    _outcomes: dict[Key, _Outcome] = field(default_factory=dict)
    _fresh: dict[Key, None] = field(default_factory=dict)
    _returned: deque[Batch] = field(default_factory=deque)
    _parked: list[tuple[float, int, Key]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)
    _returned_turn: bool = False
    _blocked: int = 0
    _behind: set[Key] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._outcomes)

    def __contains__(self, key: Key) -> bool:
        return key in self._outcomes

    @property
    def keys(self) -> set[Key]:
        return set(self._outcomes)

    @property
    def reports(self) -> list[Report]:
        return [outcome.report for outcome in self._outcomes.values()]

    @property
    def fresh(self) -> int:
        """Outcomes that no statement has tried yet."""
        return len(self._fresh)

    @property
    def is_behind(self) -> bool:
        """Whether outcomes that met a failure of the database are neither settled nor parked yet."""
        return bool(self._behind)

    def parked(self, hold: Hold) -> int:
        """How many are set aside for this reason."""
        return sum(outcome.parked and outcome.hold is hold for outcome in self._outcomes.values())

    def put(self, report: Report) -> None:
        """Take one call's outcome. The same claim again replaces what was said of it."""
        key = (report.id, report.claim_seq)
        known = self._outcomes.get(key)
        if known is None:
            self._outcomes[key] = _Outcome(report)
            self._fresh[key] = None
        else:
            self.size_bytes -= len(known.report.encoded)
            known.report = report
        self.size_bytes += len(report.encoded)

    def take(self, now: float) -> Batch | None:
        """What the next statement settles, or None when nothing is ready."""
        self._return_due(now)
        if self._returned and (self._returned_turn or not self._fresh):
            self._returned_turn = False
            return self._returned.popleft()
        if not self._fresh:
            return None
        self._returned_turn = True
        reports = self._fill(list(self._first_fresh()))
        for report in reports:
            del self._fresh[report.id, report.claim_seq]
        # While some are blocked, the next one of the same lane would make all of its batch wait for the lock again.
        return Batch(reports, ask_first=self._blocked > 0)

    def rest_seconds(self, now: float) -> float | None:
        """How long until something is ready; None when nothing waits for a time."""
        if self._fresh or self._returned:
            return 0.0
        return max(0.0, self._parked[0][0] - now) if self._parked else None

    def settle(self, key: Key) -> Report | None:
        """Postgres has it: forget it. None when it was not known."""
        outcome = self._outcomes.pop(key, None)
        if outcome is None:
            return None
        self._behind.discard(key)
        self.size_bytes -= len(outcome.report.encoded)
        return outcome.report

    def put_back(self, batch: Batch) -> None:
        """Nothing is known of this batch: it returns, behind the others, for it may be the cause."""
        self._returned.append(batch)

    def split(self, batch: Batch) -> None:
        """One of these does not pass: each half goes by itself."""
        self._returned.extendleft(reversed(batch.halves()))

    def park(self, keys: Iterable[Key], hold: Hold, now: float) -> list[Key]:
        """Set outcomes aside, longer each time for the same reason; returns those that were not held for it before."""
        first, longest = hold.pauses_seconds
        changed = []
        for key in keys:
            outcome = self._outcomes[key]
            if outcome.hold is not hold:
                outcome.hold, outcome.pause_seconds, outcome.holds = hold, first, 0
                changed.append(key)
            outcome.parked = True
            outcome.holds += 1
            self._blocked += hold is Hold.BLOCKED
            pause = outcome.pause_seconds * (0.5 + self.chance() / 2)
            outcome.pause_seconds = min(longest, outcome.pause_seconds * 2)
            heapq.heappush(self._parked, (now + pause, next(self._numbers), key))
            self._behind.discard(key)
        return changed

    def holds(self, key: Key, hold: Hold) -> int:
        """How often in a row an outcome was set aside for this reason."""
        outcome = self._outcomes[key]
        return outcome.holds if outcome.hold is hold else 0

    def fall_behind(self) -> None:
        """The database failed: what waits now must be settled or parked before anybody trusts what Postgres says."""
        self._behind |= {key for key, outcome in self._outcomes.items() if not outcome.parked}

    def _first_fresh(self) -> Iterator[Report]:
        for key in islice(self._fresh, self.batch_size):
            yield self._outcomes[key].report

    def _fill(self, reports: list[Report]) -> tuple[Report, ...]:
        """As many of these, from the first, as fit one statement: one at least."""
        size = 0
        for index, report in enumerate(reports):
            size += len(report.encoded)
            if index and (size > self.batch_bytes or index >= self.batch_size):
                return tuple(reports[:index])
        return tuple(reports)

    def _return_due(self, now: float) -> None:
        due: dict[Hold, list[Report]] = {}
        while self._parked and self._parked[0][0] <= now:
            outcome = self._outcomes[heapq.heappop(self._parked)[2]]
            outcome.parked = False
            assert outcome.hold is not None  # `park` said why
            self._blocked -= outcome.hold is Hold.BLOCKED
            due.setdefault(outcome.hold, []).append(outcome.report)
        for hold, reports in due.items():
            self._returned.extend(self._batches(hold, reports))

    def _batches(self, hold: Hold, reports: list[Report]) -> Iterator[Batch]:
        """What is refused goes alone: it would only fail the others."""
        while reports:
            some = self._fill(reports[:1] if hold in (Hold.REFUSED, Hold.TRANSIENT) else reports)
            yield Batch(some, ask_first=hold is Hold.BLOCKED)
            reports = reports[len(some) :]
