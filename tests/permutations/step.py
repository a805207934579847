"""What was played, step by step, and whether it kept the rules."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.permutations.session import Answer, Row
from tests.permutations.stops import STOP
from tests.permutations.verbs import Verb

LOCK_TIMEOUT_SECONDS = 2.0
"""What no engine's verb may wait, whoever stands in its way; and nobody for an engine's verb."""

GRACE_SECONDS = 0.3
"""What a busy machine may add to a time-out."""

DEADLOCK = "40P01"


@dataclass
class Step:
    """One statement of one session: its answer, and for whom it waited how long."""

    session: str
    name: str
    verb: Verb | None = None
    answer: Answer | None = None
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    blocked_by: set[str] = field(default_factory=set)
    blocked_seconds: float = 0.0
    engine_blocks: bool = True
    _blocked_since: float | None = None

    def note_blockers(self, names: set[str], of_engine: bool) -> None:
        """Whom it waits for at this moment; nobody, when it goes on."""
        now = time.monotonic()
        if self._blocked_since is not None:
            self.blocked_seconds += now - self._blocked_since
        self._blocked_since = now if names else None
        self.blocked_by |= names
        self.engine_blocks &= of_engine or not names

    def end(self, answer: Answer | None) -> None:
        """It has answered."""
        self.note_blockers(set(), True)
        self.answer = answer
        self.seconds = time.monotonic() - self.began

    @property
    def failed(self) -> bool:
        """Whether it raised."""
        return self.answer is not None and self.answer.sqlstate is not None

    def problem(self) -> str | None:
        """The rule that it broke."""
        who = f"{self.session}.{self.name}"
        state = self.answer.sqlstate if self.answer else None
        if state == DEADLOCK:
            return f"{who} is the victim of a deadlock"
        if state is not None and (self.verb is None or state not in self.verb.may_raise):
            return f"{who} raised {state}"
        bounded = self.verb is not None and (self.verb.engine or self.engine_blocks)
        if (
            bounded
            and STOP not in self.blocked_by
            and self.blocked_seconds > LOCK_TIMEOUT_SECONDS + GRACE_SECONDS
        ):
            return f"{who} waited {self.blocked_seconds:.1f} s"
        return None

    def __str__(self) -> str:
        if self.answer is None:
            said = "no answer"
        elif self.answer.sqlstate:
            said = f"{self.answer.sqlstate} {self.answer.message}"
        else:
            said = f"{len(self.answer.rows)} rows" if self.verb else "done"
        waits = f", {1000 * self.blocked_seconds:.0f} ms for {'+'.join(sorted(self.blocked_by))}"
        kind = f" ({self.verb.kind})" if self.verb and self.verb.kind != self.name else ""
        return (
            f"{self.session}.{self.name}{kind}: {said} in {1000 * self.seconds:.1f} ms"
            f"{waits if self.blocked_by else ''}"
        )


@dataclass
class Played:
    """What came of a permutation, in the order in which the steps began."""

    steps: list[Step] = field(default_factory=list)

    def __getitem__(self, name: str) -> Step:
        """The step `a.finish`."""
        return next(each for each in self.steps if f"{each.session}.{each.name}" == name)

    def rows(self, name: str) -> Sequence[Row]:
        """What that step brought."""
        answer = self[name].answer
        assert answer is not None
        return answer.rows

    def state(self, name: str) -> str | None:
        """The SQLSTATE that step raised."""
        answer = self[name].answer
        assert answer is not None
        return answer.sqlstate

    def problem(self) -> str | None:
        """The first rule that a step broke."""
        return next((problem for step in self.steps if (problem := step.problem())), None)

    def __str__(self) -> str:
        return "\n".join(f"  {n:2} {step}" for n, step in enumerate(self.steps, 1))
