"""Random rounds: two or three sessions, each with a verb drawn by a seed, taken in a drawn order and stopped half-way.

A batch of rounds begins on an empty queue and ends when all that it left has come to its end, so any batch can be
played again by its number. What is drawn depends on the seed and on what the sessions were told; ids count. How long a
statement takes does not: but two that begin at once race, and a race may end otherwise when it is run again.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.permutations.orders import Order
from tests.permutations.stage import Stage
from tests.permutations.step import Played
from tests.permutations.verbs import Verb
from tests.permutations.world import World

BATCH = 50
CHECK_EVERY = 25


@dataclass
class Tally:
    """What was played, and what came of it."""

    rounds: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, played: Played) -> None:
        """Count one round."""
        self.rounds += 1
        for step in played.steps:
            if step.verb is None:
                continue
            self.counts[f"verb: {step.verb.kind}"] += 1
            self.counts["blocked by others"] += bool(step.blocked_by - {"stop"})
            self.counts["stopped half-way"] += "stop" in step.blocked_by
            if step.failed and step.answer is not None:
                self.counts[f"refused: {step.answer.sqlstate}"] += 1


class Rounds:
    """Plays rounds on a stage. AssertionError says what broke, in which round, and how to play it again."""

    def __init__(self, stage: Stage, seed: int, check_every: int = CHECK_EVERY) -> None:
        self._stage = stage
        self._seed = seed
        self._check_every = check_every
        self.tally = Tally()

    def play(self, first: int, count: int) -> None:
        """So many rounds, from the batch that holds `first` on."""
        began = time.monotonic()
        for batch in range(first // BATCH, -(-(first + count) // BATCH)):
            self._batch(batch, min(BATCH, first + count - batch * BATCH))
        self.tally.seconds += time.monotonic() - began

    def _batch(self, number: int, count: int) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        at, story = number * BATCH, "before the first round"
        self._stage.clear()
        try:
            world = World.made(self._stage, chance)
            for nth in range(count):
                at = number * BATCH + nth
                world.let_time_pass()
                verbs, order = draw(world, chance)
                story = f"{' '.join(order)}\n" + "\n".join(
                    f"  {name} = {verb}" for name, verb in verbs.items()
                )
                played = self._stage.play(order, verbs)
                story += f"\n{played}"
                self.tally.note(played)
                if nth % self._check_every == self._check_every - 1:
                    self._stage.check()
            story += "\n(and the drain after it)"
            self._stage.check()
            self._stage.drain()
            self.tally.counts["lanes found only by the sweep"] += self._stage.books.found_by_sweep
            self._stage.check_idle()
        except AssertionError as problem:
            again = f"bin/permutations --seed {self._seed} --from {number * BATCH} --rounds {BATCH} --check-every 1"
            raise AssertionError(f"round {at}: {problem}\n{story}\nagain: {again}") from None


TOUCHES = {
    "claim": ("requests", "lanes", "due", "budgets", "marks", "shares", "signals"),
    "finish": ("requests", "attempts", "lanes", "usage_daily", "budgets", "signals"),
    "rescue": ("workers", "requests", "attempts", "lanes", "usage_daily", "budgets"),
    "heartbeat": ("workers",),
    "cancel": ("requests",),
    "retry": ("requests", "signals"),
    "edit": ("requests", "signals"),
    "delete": ("requests", "attempts", "lanes", "usage_daily", "budgets", "dedupe_keys"),
    "insert": ("requests", "dedupe_keys", "signals"),
    "budget": ("budgets", "requests"),
    "lane": ("lanes", "signals"),
    "tidy": ("shares", "marks", "lanes", "budgets", "due"),
    "reprice": ("attempts", "requests", "usage_daily", "budgets"),
}
"""Which tables a verb writes: where it can be stopped. Others, the chores, write requests."""


def draw(world: World, chance: random.Random) -> tuple[dict[str, Verb], Order]:
    """The next round: verbs of two or three sessions, and the order of their steps."""
    names = "abc"[: chance.choice((2, 2, 3))]
    verbs: dict[str, Verb] = {}
    remaining: dict[str, list[str]] = {}
    for name in names:
        verb = world.draw_verb()
        steps = [f"{name}.verb"]
        if chance.random() < 0.5:
            table = chance.choice(TOUCHES.get(verb.kind, ("requests",)))
            verb = verb.stopping_at(f"llm_{table}", chance.choice((1, 1, 1, 2, 3)))
            steps.append(f"{name}.go")
        if chance.random() < 0.8:
            steps.append(f"{name}.{'rollback' if chance.random() < 0.15 else 'commit'}")
        verbs[f"{name}.verb"] = verb
        remaining[name] = steps
    return verbs, _order(remaining, chance)


def _order(remaining: dict[str, list[str]], chance: random.Random) -> Order:
    """All begin before one ends, at once or one after the other; or whatever order there is."""
    how = chance.random()
    order: list[str] = []
    if how < 0.7:
        firsts = [steps.pop(0) for steps in remaining.values()]
        chance.shuffle(firsts)
        order += ["+".join(firsts)] if how < 0.3 else firsts
    while left := [name for name, steps in remaining.items() if steps]:
        order.append(remaining[chance.choice(left)].pop(0))
    return tuple(order)
