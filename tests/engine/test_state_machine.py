"""Any order of the functions keeps the invariants: a Hypothesis state machine over the SQL and nothing else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.engine.queue import Queue

OPEN = {"pending", "processing", "waiting"}
OUTCOMES = [
    "completed",
    "malformed_json",
    "rate_limited",
    "provider_unavailable",
    "provider_timeout",
    "truncated",
    "refused",
    "authentication",
    "released",
    "cancelled",
]


class QueueMachine(RuleBasedStateMachine):
    """Workers claim, answer, answer twice, answer late, die; producers insert, cancel, edit and retry; time passes."""

    queue: Queue  # set by the test: one database, emptied for each run

    claims: Bundle[dict[str, Any]] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.queue.run("TRUNCATE llm_requests, llm_attempts, llm_lanes, llm_workers")
        self.workers = [self.queue.worker()]
        self.ids: list[UUID] = []
        self.claimed: set[tuple[UUID, int]] = set()
        self.answered: dict[tuple[UUID, int], str] = {}
        self.ended: dict[UUID, str] = {}

    @rule(
        model=st.sampled_from(["gpt-6-luna", "house-model"]),
        tenant=st.sampled_from("ab"),
        attempts=st.integers(1, 3),
    )
    def insert(self, model: str, tenant: str, attempts: int) -> None:
        row = self.queue.insert(provider="openai", model=model, tenant_id=tenant, max_attempts=attempts)
        self.ids.append(row["id"])

    @rule()
    def insert_routed(self) -> None:
        row = self.queue.one("INSERT INTO llm_requests (content, max_attempts) VALUES ('hi', 4) RETURNING id")
        self.ids.append(row["id"])

    @rule(target=claims, which=st.integers(0, 2))
    def claim(self, which: int) -> Any:
        worker = self.workers[which % len(self.workers)]
        alive = self.queue.all(
            "SELECT 1 FROM llm_workers WHERE id=%s AND state='alive' AND lease_until > llmreq_now()", worker
        )
        taken = self.queue.claim(worker, 1) if alive else []
        if not taken:
            return {}
        claim = {**taken[0], "worker": worker}
        key = (claim["id"], claim["claim_seq"])
        assert key not in self.claimed, "claim_seq names a claim for ever"
        self.claimed.add(key)
        return claim

    @rule(claim=claims, outcome=st.sampled_from(OUTCOMES))
    def answer(self, claim: dict[str, Any], outcome: str) -> None:
        if not claim:
            return
        facts: dict[str, Any] = {"error_message": outcome}
        if outcome == "malformed_json":
            facts["validation_errors"] = [{"type": "json_decode_error", "field": None, "message": "x"}]
        if outcome in ("provider_timeout", "cancelled"):
            facts["billed"] = "upper_bound"
        done = self.queue.finish(claim["worker"], claim, outcome, **facts)
        key = (claim["id"], claim["claim_seq"])
        if key in self.answered:
            assert not done["accepted"], "a repeated report is never accepted"
        self.answered.setdefault(key, outcome)

    @rule()
    def start_worker(self) -> None:
        self.workers.append(self.queue.worker())

    @rule(which=st.integers(0, 2))
    def beat(self, which: int) -> None:
        self.queue.one("SELECT alive FROM llmreq_heartbeat(%s, 0)", self.workers[which % len(self.workers)])

    @rule(seconds=st.sampled_from([1, 6, 16, 700]))
    def time_passes(self, seconds: int) -> None:
        self.queue.advance(seconds=seconds)

    @rule()
    def rescue(self) -> None:
        self.queue.rescue()
        self.queue.one("SELECT llmreq_explain_waiting()")

    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        if self.ids:
            self.queue.one("SELECT llmreq_cancel(%s)", self.ids[which % len(self.ids)])

    @rule(which=st.integers(0, 99))
    def retry(self, which: int) -> None:
        if self.ids:
            id = self.ids[which % len(self.ids)]
            self.queue.one("SELECT llmreq_retry(%s)", id)
            self.ended.pop(id, None)

    @rule(which=st.integers(0, 99))
    def edit(self, which: int) -> None:
        if self.ids:
            id = self.ids[which % len(self.ids)]
            self.queue.run(
                "UPDATE llm_requests SET params='{\"temperature\":0}' WHERE id=%s AND status='pending'", id
            )

    @invariant()
    def the_books_balance(self) -> None:
        assert self.queue.all("SELECT * FROM llmreq_ledger_check") == []

    @invariant()
    def nothing_is_lost_and_what_ended_stays_ended(self) -> None:
        rows = {
            row["id"]: row
            for row in self.queue.all(
                "SELECT id, status, error_code, attempts, max_attempts FROM llm_requests"
            )
        }
        assert set(rows) == set(self.ids)
        for id, status in self.ended.items():
            poisoned_then_adopted = status == "failed"
            assert rows[id]["status"] == status or poisoned_then_adopted
        for id, row in rows.items():
            assert row["attempts"] <= row["max_attempts"]
            if row["status"] not in OPEN:
                self.ended[id] = row["status"]

    @invariant()
    def every_answered_claim_is_booked_once(self) -> None:
        rows = self.queue.all("SELECT request_id, claim_seq, outcome FROM llm_attempts")
        booked = {(row["request_id"], row["claim_seq"]): row["outcome"] for row in rows}
        assert len(booked) == len(rows)
        for key, outcome in self.answered.items():
            assert booked[key] == outcome
        assert set(booked) <= self.claimed


@pytest.fixture
def machine(queue: Queue) -> type[QueueMachine]:
    return type("Machine", (QueueMachine,), {"queue": queue})


def test_any_order_of_claims_answers_deaths_and_edits_keeps_the_invariants(
    machine: type[QueueMachine],
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
