"""Plays a permutation: takes the steps of several sessions in a given order, in the manner of Postgres's isolation tester.

A step that waits for a lock does not hold up the play: the next step of another session is taken, and the steps of the
waiting session come when it is free again.

    a.commit, a.rollback    end the transaction that the first step of `a` began; without them each step is its own
    a.go                    lets a verb go on that was to stop in its midst
    a.wait                  takes no further step before `a` has answered: the time for its lock time-out
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.permutations.orders import Order
from tests.permutations.session import Session, readable
from tests.permutations.step import LOCK_TIMEOUT_SECONDS, Played, Step
from tests.permutations.verbs import Verb

if TYPE_CHECKING:
    from tests.permutations.stage import Stage

POLL_SECONDS = 0.001
PATIENCE_SECONDS = 10.0
WORDS = {"commit": "COMMIT", "rollback": "ROLLBACK"}


class Play:
    """One permutation under way."""

    def __init__(self, stage: Stage, verbs: Mapping[str, Verb]) -> None:
        self.played = Played()
        self._stage = stage
        self._verbs = verbs
        self._current: dict[str, Step] = {}  # under way, by session
        self._uncommitted: dict[str, list[Step]] = defaultdict(list)
        self._deadline = time.monotonic() + PATIENCE_SECONDS

    def run(self, order: Order) -> None:
        """Take every step."""
        steps = [step for part in order for step in part.split("+")]
        names = sorted({step.partition(".")[0] for step in steps})
        self._transactional = {name for name in names if any(f"{name}.{word}" in steps for word in WORDS)}
        for name in names:
            self._set_clock(self._stage.session(name), 0)
        waiting = list(order)
        while waiting:
            at = self._next(waiting)
            if at is None:
                self._until_one_is_free()
                continue
            for step in waiting.pop(at).split("+"):
                self._take(*step.split(".", 1))
            self._quiesce()

    def end(self) -> None:
        """Let everybody go, and leave no transaction open: by force, should that not be enough."""
        for session in self._stage.sessions():
            self._stage.stops.let_go(session)
        until = time.monotonic() + 2 * LOCK_TIMEOUT_SECONDS
        while time.monotonic() < until:
            for session in self._stage.sessions():
                if session.poll() and session.in_transaction:
                    session.run("ROLLBACK")
            busy = self._busy()
            if not busy:
                return
            readable(busy, POLL_SECONDS)
        for session in self._busy():
            self._stage.discard(session)

    def _next(self, waiting: list[str]) -> int | None:
        """The first step whose session is free; the steps of one session stay in their order."""
        passed: set[str] = set()
        for at, part in enumerate(waiting):
            names = {step.partition(".")[0] for step in part.split("+")}
            free = not any(self._stage.session(name).busy for name in names)
            if (free or part.endswith((".go", ".wait"))) and not names & passed:
                return at
            passed |= names
        return None

    def _take(self, name: str, step: str) -> None:
        session = self._stage.session(name)
        if step == "go":
            self._stage.stops.let_go(session)
        elif step == "wait":
            self._give_time(session)
        elif step in WORDS:
            self._start(session, Step(name, step), WORDS[step])
        else:
            verb = self._verbs[f"{name}.{step}"]
            if verb.later_seconds:
                self._set_clock(session, verb.later_seconds)
            if name in self._transactional and not session.in_transaction:
                session.run("BEGIN")
            if verb.stop:
                self._stage.stops.arm(session, verb.stop)
            self._start(session, Step(name, step, verb), verb.sql, verb.parameters)

    def _start(self, session: Session, step: Step, sql: str, parameters: tuple[object, ...] = ()) -> None:
        self.played.steps.append(step)
        self._current[session.name] = step
        session.send(sql, parameters)

    def _set_clock(self, session: Session, later_seconds: float) -> None:
        session.set_clock(self._stage.queue.now + timedelta(seconds=later_seconds))

    def _quiesce(self) -> None:
        """Return when every session is free, or waits for a lock or at a stop."""
        while self._busy():
            readable(self._busy(), POLL_SECONDS)
            if self._all_blocked():
                return
            self._check_patience("a step has no end")

    def _until_one_is_free(self) -> None:
        """Every session with steps left waits: sooner or later a time-out or the deadlock detector ends that."""
        before = len(self._busy())
        while before and len(self._busy()) == before:
            readable(self._busy(), POLL_SECONDS)
            self._all_blocked()
            self._check_patience("everybody waits for ever")

    def _give_time(self, session: Session) -> None:
        until = time.monotonic() + 1.5 * LOCK_TIMEOUT_SECONDS
        while session in self._busy() and time.monotonic() < until:
            readable(self._busy(), POLL_SECONDS)
            self._all_blocked()

    def _check_patience(self, what: str) -> None:
        assert time.monotonic() < self._deadline, f"{what}\n{self.played}"

    def _busy(self) -> list[Session]:
        """Sessions that have not answered; takes down what the others said."""
        busy = []
        for name, step in list(self._current.items()):
            session = self._stage.session(name)
            if session.poll():
                del self._current[name]
                self._ended(session, step)
            else:
                busy.append(session)
        return busy

    def _all_blocked(self) -> bool:
        """Whether all that have not answered wait for others at this moment; takes down for whom."""
        busy = self._busy()
        blockers = self._stage.blockers(busy) if busy else {}
        for session in busy:
            names = blockers[session.name]
            self._current[session.name].note_blockers(names, all(self._is_engine(name) for name in names))
        return all(blockers[session.name] for session in busy)

    def _is_engine(self, name: str) -> bool:
        """Whether all that this session has done in its transaction is the engine's."""
        steps = [*self._uncommitted[name], *([self._current[name]] if name in self._current else [])]
        return all(step.verb is None or step.verb.engine for step in steps)

    def _ended(self, session: Session, step: Step) -> None:
        step.end(session.answer)
        self._uncommitted[session.name].append(step)
        if session.in_transaction:
            return
        done = self._uncommitted.pop(session.name)
        if step.name == "rollback" or any(each.failed for each in done):
            return
        for each in done:
            if each.verb is not None and each.answer is not None:
                self._stage.books.note(each.verb, each.answer)
