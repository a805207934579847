"""Random verbs of random sessions in random orders; `bin/permutations` plays many more."""

from __future__ import annotations

from tests.permutations.rounds import Rounds
from tests.permutations.stage import Stage

ROUNDS = 250


def test_hundreds_of_random_rounds_break_no_rule(stage: Stage) -> None:
    rounds = Rounds(stage, seed=7)
    rounds.play(0, ROUNDS)
    assert rounds.tally.counts["blocked by others"] > 0
    assert rounds.tally.counts["stopped half-way"] > 0
