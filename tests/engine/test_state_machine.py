"""Any order of the functions keeps the invariants: a Hypothesis state machine over the SQL and nothing else.

A replay of the same draws must do the same, or Hypothesis can neither shrink nor reproduce what it found. So nothing
that it draws from depends on the database, and the database has no chance or clock of its own: ids count, the clock
stands still within a step, `random()` is seeded by the step's number, and rows are sorted before they are picked from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.engine.queue import START, Queue
from tests.engine.replay import count_ids, digest, empty_tables

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


def step(**draws: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """A rule that begins with the clock and the seed of its place in the run."""

    def decorate(body: Callable[..., None]) -> Any:
        @wraps(body)
        def seeded(self: QueueMachine, **drawn: Any) -> None:
            self.steps += 1
            self.queue.run("SELECT setseed(%s)", self.steps % 1000 / 1000)
            self.queue.set_clock(self.queue.now)
            body(self, **drawn)

        return rule(**draws)(seeded)

    return decorate


class QueueMachine(RuleBasedStateMachine):
    """Workers claim, answer twice, answer late, die; producers insert, cancel, edit, retry; operators limit and pause."""

    queue: Queue  # set by the test: one database, emptied for each run
    tables: list[str]  # what is emptied

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.queue.set_clock(START)
        self.queue.run(f"TRUNCATE {', '.join(self.tables)} RESTART IDENTITY")
        self.queue.run("ALTER SEQUENCE counted_ids RESTART")
        self.queue.run("DELETE FROM llm_prices WHERE model = 'house-model'")
        self.queue.one("SELECT setval(pg_get_serial_sequence('llm_prices', 'id'), max(id)) FROM llm_prices")
        self.queue.run("DELETE FROM llmreq_meta WHERE key = 'unpriced_usd_per_mtok'")
        self.workers = [self.queue.worker()]
        self.ids: list[UUID] = []
        self.claims: list[dict[str, Any]] = []
        self.claimed: set[tuple[UUID, int]] = set()
        self.answered: dict[tuple[UUID, int], str] = {}
        self.ended: dict[UUID, str] = {}

    @step(
        model=st.sampled_from(["gpt-6-luna", "house-model"]),
        tenant=st.sampled_from("ab"),
        attempts=st.integers(1, 3),
    )
    def insert(self, model: str, tenant: str, attempts: int) -> None:
        row = self.queue.insert(provider="openai", model=model, tenant_id=tenant, max_attempts=attempts)
        self.ids.append(row["id"])

    @step()
    def insert_routed(self) -> None:
        row = self.queue.one("INSERT INTO llm_requests (content, max_attempts) VALUES ('hi', 4) RETURNING id")
        self.ids.append(row["id"])

    @step(
        tenant=st.sampled_from("ab"),
        execution=st.sampled_from(["parallel", "sequential"]),
        strategy=st.sampled_from(["merge", "reduce"]),
        policy=st.sampled_from(["whole", "partial"]),
    )
    def insert_document(self, tenant: str, execution: str, strategy: str, policy: str) -> None:
        row = self.queue.insert(
            tenant_id=tenant, agent_name=policy, content="A sentence. " * 400, execution=execution, merge_strategy=strategy,
            provider="openai", model="gpt-6-luna", max_attempts=2,
        )  # fmt: skip
        self.ids.append(row["id"])
        preparer = self.queue.worker("local/pages")
        for claim in self._claim(preparer, 9):
            self.answer(claim, "completed", None, 5000)

    @step(which=st.integers(0, 2), most=st.integers(1, 6))
    def claim(self, which: int, most: int) -> None:
        self.claims += self._claim(self.workers[which % len(self.workers)], most)

    def _claim(self, worker: int, most: int) -> list[dict[str, Any]]:
        alive = self.queue.all(
            "SELECT 1 FROM llm_workers WHERE id=%s AND state='alive' AND lease_until > llmreq_now()", worker
        )
        before = {row["lane"]: row for row in self.queue.all("SELECT * FROM llm_lanes")}
        held = {row["id"]: row["held_usd"] for row in self.queue.all("SELECT id, held_usd FROM llm_budgets")}
        taken = self.queue.claim(worker, most) if alive else []
        for budget in self.queue.all("SELECT * FROM llm_budgets"):
            if budget["held_usd"] > held[budget["id"]]:
                assert budget["spent_usd"] + budget["held_usd"] <= budget["limit_usd"], "a claim passed a cap"
        for claim in taken:
            for lane in (claim["lane"], claim["lane"].split("/")[0] + "/*", "*/*"):
                if limits := before.get(lane):
                    assert not limits["paused"], "a paused lane was claimed"
                    assert limits["in_flight"] < (limits["max_in_flight"] or 10**9), (
                        "more in flight than allowed"
                    )
            key = (claim["id"], claim["claim_seq"])
            assert key not in self.claimed, "claim_seq names a claim for ever"
            self.claimed.add(key)
        for lane in self.queue.all("SELECT * FROM llm_lanes WHERE in_flight > max_in_flight"):
            assert lane["in_flight"] <= before[lane["lane"]]["in_flight"], "more in flight than allowed"
        return [{**claim, "worker": worker} for claim in sorted(taken, key=lambda claim: claim["id"])]

    @step(
        outcomes=st.lists(st.sampled_from(["completed", *OUTCOMES]), min_size=1, max_size=12),
        most=st.integers(1, 20),
    )
    def work(self, outcomes: list[str], most: int) -> None:
        """A fresh worker with nothing in its way, whose claims are answered at once: so runs get far."""
        self.queue.run(
            "UPDATE llm_lanes SET paused = false, blocked_until = NULL, breaker_opened = 0, max_in_flight = NULL,"
            " requests_per_minute = NULL, tokens_per_minute = NULL, seen_requests_per_minute = NULL"
        )
        worker = self.queue.worker()
        for outcome in outcomes:
            for claim in self._claim(worker, most):
                self.answer(claim, outcome, None, 5000)

    @step(
        which=st.integers(0, 99),
        outcome=st.sampled_from(OUTCOMES),
        remaining=st.sampled_from([None, 0, 1, 1000]),
        used=st.sampled_from([1, 5000]),
    )
    def answer_one(self, which: int, outcome: str, remaining: int | None, used: int) -> None:
        """Any claim there ever was, the last ones first: most of the earlier ones have been answered."""
        if self.claims:
            self.answer(self.claims[-1 - which % len(self.claims)], outcome, remaining, used)

    def answer(self, claim: dict[str, Any], outcome: str, remaining: int | None, used: int) -> None:
        facts: dict[str, Any] = {"error_message": outcome, "input_tokens": used}
        if remaining is not None:
            facts["rate"] = {"requests": {"limit": 60_000, "remaining": remaining}}
        if outcome == "malformed_json":
            facts["validation_errors"] = [{"type": "json_decode_error", "field": None, "message": "x"}]
        row = self.queue.all("SELECT lane, pages, status FROM llm_requests WHERE id = %s", claim["id"])[0]
        if claim["lane"] == "local/pages" and outcome == "completed" and row["pages"] is None:
            facts["step"] = "fits" if used == 1 else "paginated"
            facts["pages"] = [{"start": n * 1000, "end": (n + 1) * 1000, "tokens": 300} for n in range(3)]
        if outcome in ("provider_timeout", "cancelled"):
            facts["billed"] = "upper_bound"
        done = self.queue.finish(claim["worker"], claim, outcome, **facts)
        key = (claim["id"], claim["claim_seq"])
        if key in self.answered:
            assert not done["accepted"], "a repeated report is never accepted"
        self.answered.setdefault(key, outcome)

    @step(
        lane=st.sampled_from(["openai/gpt-6-luna", "openai/*"]),
        in_flight=st.sampled_from([None, 1, 2]),
        requests=st.sampled_from([None, 30, 6000]),
        tokens=st.sampled_from([None, 10_000]),
    )
    def limit(self, lane: str, in_flight: int | None, requests: int | None, tokens: int | None) -> None:
        self.queue.run(
            "INSERT INTO llm_lanes (lane, provider, model, max_in_flight, requests_per_minute, tokens_per_minute)"
            " VALUES (%s, 'openai', %s, %s, %s, %s) ON CONFLICT (lane) DO UPDATE SET max_in_flight = EXCLUDED.max_in_flight,"
            " requests_per_minute = EXCLUDED.requests_per_minute, tokens_per_minute = EXCLUDED.tokens_per_minute",
            lane, lane.split("/")[1], in_flight, requests, tokens,
        )  # fmt: skip
        self.queue.one("SELECT llmreq_tidy()")

    @step(paused=st.booleans(), lane=st.sampled_from(["openai/*", "*/*"]))
    def pause(self, paused: bool, lane: str) -> None:
        provider, _, model = lane.partition("/")
        self.queue.run(
            "INSERT INTO llm_lanes (lane, provider, model, paused) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (lane) DO UPDATE SET paused = EXCLUDED.paused",
            lane, provider, model, paused,
        )  # fmt: skip
        self.queue.one("SELECT llmreq_tidy()")

    @step(
        budget=st.sampled_from([("all", ""), ("tenant", "a"), ("model", "gpt-6-luna")]),
        usd=st.sampled_from(["0.0001", "0.004", "0.01", "10"]),
        period=st.sampled_from(["hour", "total"]),
        then=st.sampled_from(["wait", "fail", "degrade"]),
    )
    def set_budget(self, budget: tuple[str, str], usd: str, period: str, then: str) -> None:
        self.queue.run(
            "INSERT INTO llm_budgets (scope, subject, period, limit_usd, on_exhausted) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (scope, subject, period) DO UPDATE"
            " SET limit_usd = EXCLUDED.limit_usd, on_exhausted = EXCLUDED.on_exhausted",
            *budget, period, usd, then,
        )  # fmt: skip
        self.queue.run("SELECT llmreq_count_budgets(llmreq_now())")  # as the next claim would

    @step(ceiling=st.sampled_from([None, "100"]))
    def set_ceiling(self, ceiling: str | None) -> None:
        self.queue.run("DELETE FROM llmreq_meta WHERE key = 'unpriced_usd_per_mtok'")
        if ceiling:
            self.queue.run(
                "INSERT INTO llmreq_meta (key, value) VALUES ('unpriced_usd_per_mtok', %s)", ceiling
            )

    @step()
    def remove_budgets(self) -> None:
        self.queue.run("DELETE FROM llm_budgets")

    @step()
    def reprice(self) -> None:
        self.queue.run(
            "INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)"
            " SELECT 'openai', 'house-model', '2020-01-01'::timestamptz + count(*) * interval '1 day', 1 + count(*), 2, 'test'"
            " FROM llm_prices WHERE model = 'house-model'"
        )
        self.queue.one(
            "SELECT * FROM llmreq_reprice('openai/house-model', (llmreq_now() AT TIME ZONE 'UTC')::date)"
        )

    @step()
    def start_worker(self) -> None:
        self.workers.append(self.queue.worker())

    @step(which=st.integers(0, 2))
    def beat(self, which: int) -> None:
        self.queue.one("SELECT alive FROM llmreq_heartbeat(%s, 0)", self.workers[which % len(self.workers)])

    @step(seconds=st.sampled_from([1, 6, 16, 700]))
    def time_passes(self, seconds: int) -> None:
        self.queue.advance(seconds=seconds)

    @step()
    def rescue(self) -> None:
        self.queue.rescue()
        self.queue.one("SELECT llmreq_explain_waiting()")

    @step(
        most=st.integers(1, 6),
        outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=3),
        reclaimed=st.booleans(),
    )
    def answer_late(self, most: int, outcomes: list[str], reclaimed: bool) -> None:
        """A worker that hangs beyond its lease: another one rescues, perhaps claims, and then the answers come."""
        frozen = self.queue.worker()
        taken = self._claim(frozen, most)
        self.queue.advance(seconds=16)
        self.workers.append(self.queue.worker())
        self.queue.rescue()
        if reclaimed:
            self.claims += self._claim(self.workers[-1], most)
        for claim, outcome in zip(taken, outcomes, strict=False):
            self.answer(claim, outcome, None, 5000)

    @step(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        if self.ids:
            self.queue.one("SELECT llmreq_cancel(%s)", self.ids[which % len(self.ids)])

    @step(which=st.integers(0, 99))
    def retry(self, which: int) -> None:
        if self.ids:
            id = self.ids[which % len(self.ids)]
            self.queue.one("SELECT llmreq_retry(%s)", id)
            for row in self.queue.all("SELECT id FROM llm_requests WHERE %s IN (id, parent_id)", id):
                self.ended.pop(row["id"], None)

    @step(which=st.integers(0, 99))
    def edit(self, which: int) -> None:
        if self.ids:
            id = self.ids[which % len(self.ids)]
            self.queue.run(
                "UPDATE llm_requests SET params='{\"temperature\":0}' WHERE id=%s AND status='pending'", id
            )

    @invariant()
    def levels_stay_within_their_burst(self) -> None:
        assert self.queue.all("SELECT * FROM llm_lanes WHERE request_level < 0 OR in_flight < 0") == []
        over = (  # as the next claim sees them: a limit that was lowered takes effect there
            "SELECT l.lane FROM llm_lanes l, llmreq_refill(l, llmreq_now()) x WHERE x.request_level > greatest("
            "1, least(l.requests_per_minute, l.seen_requests_per_minute) * l.safety_margin / 60 * l.burst_seconds)"
        )
        assert self.queue.all(over) == []

    @invariant()
    def the_books_balance(self) -> None:
        assert self.queue.all("SELECT * FROM llmreq_ledger_check") == []

    @invariant()
    def nothing_is_lost_and_what_ended_stays_ended(self) -> None:
        rows = {
            row["id"]: row
            for row in self.queue.all(
                "SELECT id, parent_id, status, error_code, attempts, max_attempts FROM llm_requests"
            )
        }
        assert set(rows) >= set(self.ids)
        for id, status in self.ended.items():
            poisoned_then_adopted = status == "failed"
            assert rows[id]["status"] == status or poisoned_then_adopted
        for id, row in rows.items():
            assert row["attempts"] <= row["max_attempts"]
            if row["status"] not in OPEN:
                self.ended[id] = row["status"]

    @invariant()
    def every_answered_claim_is_booked_once(self) -> None:
        rows = self.queue.all(
            "SELECT request_id, claim_seq, outcome FROM llm_attempts WHERE cost_basis <> 'correction'"
        )
        booked = {(row["request_id"], row["claim_seq"]): row["outcome"] for row in rows}
        assert len(booked) == len(rows)
        for key, outcome in self.answered.items():
            assert booked[key] == outcome
        assert set(booked) <= self.claimed


SETTINGS = settings(stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def machine(queue: Queue) -> type[QueueMachine]:
    tables = empty_tables(queue)
    count_ids(queue)
    for name, policy in (("whole", "fail"), ("partial", "partial")):
        queue.run(
            "INSERT INTO llm_agents (tenant_id, name, system_prompt, chunk_tokens, on_page_failure)"
            " VALUES ('*', %s, 'Read.', 400, %s)",
            name, policy,
        )  # fmt: skip
    return type("Machine", (QueueMachine,), {"queue": queue, "tables": tables})


@pytest.mark.timeout(600)  # what it finds is shrunk before it is told
def test_any_order_of_claims_answers_deaths_and_edits_keeps_the_invariants(
    machine: type[QueueMachine],
) -> None:
    run_state_machine_as_test(machine, settings=settings(SETTINGS, max_examples=60))


def test_the_same_draws_do_the_same(machine: type[QueueMachine]) -> None:
    def digests() -> list[str]:
        """What the tables held after every step of a few runs that are drawn alike each time."""
        seen: list[str] = []

        class Watched(machine):  # type: ignore[misc, valid-type]
            @invariant()
            def note(self) -> None:
                seen.append(digest(self.queue, self.tables))

        run_state_machine_as_test(
            Watched, settings=settings(SETTINGS, max_examples=4, derandomize=True, database=None)
        )
        return seen

    first = digests()
    assert len(set(first)) > 50, "hardly anything happened"
    assert digests() == first
