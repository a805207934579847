"""What random rounds are drawn from: requests, documents, calls, workers that live and die, budgets that bind."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.permutations import verbs
from tests.permutations.stage import Stage
from tests.permutations.verbs import IN_FLIGHT, Claim, Verb

MODELS = ("gpt-6-luna", "gpt-6-sol", "house-model")
TENANTS = ("x", "y", "z")
BUDGETS = (("all", ""), ("tenant", "x"), ("tenant", "y"), ("model", "gpt-6-luna"))
LIMITS = ("0.003", "0.01", "0.1", "5")
OUTCOMES = (
    *("completed",) * 5,
    "malformed_json",
    "rate_limited",
    "provider_unavailable",
    "provider_timeout",
    "truncated",
    "authentication",
    "released",
    "cancelled",
)
LANES = ("openai/gpt-6-luna", "openai/gpt-6-sol", "openai/*")
CHORES = ("expire", "explain_waiting", "tidy", "learn", "sweep_orphans", "sweep_pages", "sweep_lanes")
BEAT_SECONDS = 4
SILENT_SECONDS = 28
"""A lease of 15, and some rounds in which others find it ended."""
LONG_TEXT = "A sentence. " * 400


@dataclass
class World:
    """Draws verbs that fit what is there. Nothing here changes the queue but by a session's verb."""

    stage: Stage
    chance: random.Random
    workers: list[int] = field(default_factory=list)
    silent: int = 0
    silent_seconds: int = 0
    keys: int = 0

    @classmethod
    def made(cls, stage: Stage, chance: random.Random) -> World:
        """A few requests, a document, some calls, and a budget now and then."""
        world = cls(stage, chance)
        for number, session in enumerate(stage.sessions()):
            session.run("SELECT setseed($1::float8)", (number + 1) / 100)
        world.workers = [stage.queue.worker() for _ in range(3)]
        if chance.random() < 0.7:
            scope, subject = chance.choice(BUDGETS)
            stage.play(("o.set",), {"o.set": verbs.insert_budget(scope, subject, chance.choice(LIMITS))})
        if chance.random() < 0.5:
            stage.play(("o.limit",), {"o.limit": verbs.set_lane("openai/*", max_in_flight="6")})
        for model in MODELS:
            for tenant in TENANTS[: chance.randrange(1, 4)]:
                stage.insert(chance.randrange(2, 6), model=model, tenant_id=tenant)
        stage.document(chance.randrange(1, 4))
        for worker in world.workers:
            stage.claim(worker, 6)
        return world

    def let_time_pass(self) -> None:
        """Now and then some seconds, in which all workers beat but one: its lease ends, and then it is another one's turn."""
        if self.chance.random() > 0.4:
            return
        self.stage.queue.advance(seconds=BEAT_SECONDS)
        self.silent_seconds += BEAT_SECONDS
        if self.silent_seconds > SILENT_SECONDS:
            self.workers[self.silent] = self.stage.queue.worker()
            self.silent = self.chance.randrange(len(self.workers))
            self.silent_seconds = 0
        for at, worker in enumerate(self.workers):
            if at == self.silent:
                continue
            beat = self.stage.queue.one("SELECT alive FROM llmreq_heartbeat(%s, 0)", worker)
            if not beat["alive"]:
                self.workers[at] = self.stage.queue.worker()

    def draw_verb(self) -> Verb:
        """What a session does next."""
        draws: list[tuple[int, Callable[[], Verb]]] = [
            (6, lambda: verbs.claim(self._worker(), self.chance.choice((1, 3, 8)))),
            (1, lambda: verbs.claim_apart(self._worker(), self.chance.choice((1, 8)))),
            (9, self._finish),
            (1, self._blocked),
            (4, verbs.rescue),
            (1, lambda: verbs.heartbeat(self._worker())),
            (3, lambda: verbs.cancel(self._id())),
            (2, lambda: verbs.retry(self._id())),
            (3, self._edit),
            (1, lambda: verbs.delete(self._id())),
            (3, self._insert),
            (1, lambda: verbs.insert_budget(*self.chance.choice(BUDGETS), *self._terms())),
            (2, self._update_budget),
            (1, lambda: verbs.delete_budget(*self.chance.choice(BUDGETS))),
            (2, self._set_lane),
            (4, lambda: verbs.chore(self.chance.choice(CHORES))),
            (1, lambda: verbs.reprice("openai/house-model")),
        ]
        weights = [weight for weight, _ in draws]
        return self.chance.choices([draw for _, draw in draws], weights)[0]()

    def _worker(self) -> int:
        return self.chance.choice(self.workers)

    def _id(self) -> str:
        alive = sorted(self.stage.books.inserted - self.stage.books.deleted)
        return self.chance.choice(alive) if alive else "00000000-0000-7000-8000-000000000000"

    def _finish(self) -> Verb:
        """Some calls of one worker: mostly open ones, now and then one that was settled before."""
        books = self.stage.books
        keys = [
            key for key in sorted(books.claims) if key not in books.settled or self.chance.random() < 0.05
        ]
        if not keys:
            return verbs.claim(self._worker(), 3)
        worker = books.claims[self.chance.choice(keys)][0]
        mine = [books.claims[key][1] for key in keys if books.claims[key][0] == worker]
        chosen = self.chance.sample(mine, self.chance.randrange(1, min(len(mine), 8) + 1))
        return verbs.finish_each(worker, [self._outcome(each) for each in chosen])

    def _blocked(self) -> Verb:
        return verbs.blocked([self._id() for _ in range(5)])

    def _outcome(self, call: Claim) -> dict[str, Any]:
        outcome = self.chance.choice(OUTCOMES)
        facts: dict[str, Any] = {}
        if outcome in ("provider_timeout", "cancelled"):
            facts["billed"] = "upper_bound"
        if outcome == "completed" and call.lane == "local/pages" and not self._has_pages(call):
            pages = [{"start": n * 1000, "end": (n + 1) * 1000, "tokens": 300} for n in range(3)]
            facts |= {"step": "fits"} if self.chance.random() < 0.3 else {"step": "paginated", "pages": pages}
        return verbs.outcome_of(call, outcome, **facts)

    def _has_pages(self, call: Claim) -> bool:
        rows = self.stage.queue.all("SELECT pages FROM llm_requests WHERE id = %s", call.id)
        return not rows or rows[0]["pages"] is not None

    def _edit(self) -> Verb:
        columns: dict[str, object] = self.chance.choice([
            {"params": '{"temperature": 0}'},
            {"model": self.chance.choice(MODELS)},
            {"priority": self.chance.randrange(10)},
            {"tenant_id": self.chance.choice(TENANTS)},
            {"context": '{"note": 1}'},
            {"status": "completed"},
        ])  # fmt: skip
        return verbs.edit(self._id(), **columns).but_may_raise(IN_FLIGHT)

    def _insert(self) -> Verb:
        if self.chance.random() < 0.2:
            return verbs.insert(
                1, agent_name="whole", content=LONG_TEXT, tenant_id=self.chance.choice(TENANTS)
            )
        columns: dict[str, object] = {
            "model": self.chance.choice(MODELS),
            "tenant_id": self.chance.choice(TENANTS),
            "max_attempts": self.chance.randrange(1, 4),
        }
        if self.chance.random() < 0.3:
            columns["dedupe_key"] = f"k{self.chance.randrange(5)}"
        if self.chance.random() < 0.2:
            columns["expires_at"] = self.stage.queue.now.replace(second=30).isoformat()
        return verbs.insert(self.chance.randrange(1, 4), **columns)

    def _terms(self) -> tuple[str, str]:
        return self.chance.choice(LIMITS), self.chance.choice(("wait", "wait", "fail", "degrade"))

    def _update_budget(self) -> Verb:
        scope, subject = self.chance.choice(BUDGETS)
        usd, then = self._terms()
        return verbs.update_budget(scope, subject, limit_usd=usd, on_exhausted=then)

    def _set_lane(self) -> Verb:
        columns: dict[str, object] = self.chance.choice([
            {"paused": "true"},
            {"paused": "false"},
            {"paused": "false"},
            {"max_in_flight": self.chance.choice(("1", "4", "50"))},
            {"requests_per_minute": self.chance.choice(("60", "6000"))},
        ])  # fmt: skip
        return verbs.set_lane(self.chance.choice(LANES), **columns)
