"""What the sessions of a permutation were told, and what must therefore be true."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.engine.queue import Queue
from tests.permutations.session import Answer
from tests.permutations.verbs import Claim, Verb, claims_of

Key = tuple[str, int]


@dataclass
class Books:
    """Counts only what was committed."""

    inserted: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    claims: dict[Key, tuple[int, Claim]] = field(default_factory=dict)
    handed_out: Counter[Key] = field(default_factory=Counter)
    accepted: Counter[Key] = field(default_factory=Counter)
    settled: set[Key] = field(default_factory=set)
    found_by_sweep: int = 0
    """Lanes with work that no signal told of: found all the same, but late."""

    def note(self, verb: Verb, answer: Answer) -> None:
        """Take down what a committed verb said."""
        if answer.sqlstate is not None:
            return
        match verb.kind:
            case "insert":
                self.inserted |= {str(row["id"]) for row in answer.rows}
            case "delete":
                self.deleted |= {str(row["id"]) for row in answer.rows}
            case "truncate":
                self.deleted |= self.inserted
            case "claim":
                for claim in claims_of(answer.rows):
                    self.note_claim(int(str(verb.parameters[0])), claim)
            case "finish":
                for row in answer.rows:
                    key = str(row["id"]), int(row["claim_seq"] or 0)
                    self.note_settled(key, row["accepted"] == "t")

    def note_claim(self, worker: int, claim: Claim) -> None:
        """It was handed out to this worker."""
        self.claims[claim.key] = worker, claim
        self.handed_out[claim.key] += 1

    def note_settled(self, key: Key, accepted: bool) -> None:
        """Its report was taken."""
        self.settled.add(key)
        self.accepted[key] += accepted

    def check(self, queue: Queue) -> None:
        """AssertionError names what does not hold. Callable at any time, between transactions."""
        unbalanced = queue.all("SELECT * FROM llmreq_ledger_check")
        assert unbalanced == [], f"the books do not balance: {unbalanced}"
        twice = [key for key, times in self.handed_out.items() if times > 1]
        assert twice == [], f"handed out twice: {twice}"
        again = [key for key, times in self.accepted.items() if times > 1]
        assert again == [], f"accepted twice: {again}"
        found = {str(row["id"]) for row in queue.all("SELECT id FROM llm_requests")}
        lost = self.inserted - self.deleted - found
        assert not lost, f"requests are lost: {lost}"
        booked = {
            (str(row["request_id"]), int(row["claim_seq"]))
            for row in queue.all("SELECT request_id, claim_seq FROM llm_attempts WHERE claim_seq > 0")
        }
        assert not self.settled - booked, f"settled, but not in the ledger: {self.settled - booked}"
        assert not booked - self.handed_out.keys(), (
            f"booked, but never claimed: {booked - self.handed_out.keys()}"
        )

    def check_idle(self, queue: Queue) -> None:
        """When all that was inserted has ended: every claim is booked, and nothing is held."""
        assert (
            queue.all(
                "SELECT id, status, wait_reason, lane FROM llm_requests"
                " WHERE status NOT IN ('completed', 'failed', 'cancelled')"
            )
            == []
        ), "requests that never end"
        assert queue.all("SELECT lane, in_flight FROM llm_lanes WHERE in_flight <> 0") == []
        booked = {
            (str(row["request_id"]), int(row["claim_seq"]))
            for row in queue.all("SELECT request_id, claim_seq FROM llm_attempts WHERE claim_seq > 0")
        }
        missing = self.handed_out.keys() - booked
        assert not missing, f"claimed and never booked: {missing}"
