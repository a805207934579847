"""What a session can do to the queue: each verb is one statement of the protocol, or plain SQL of a producer or an operator.

An engine's verb belongs to workers and is a transaction by itself. It may pass over what others have locked, or give
up with 55P03 within its lock time-out; it may never wait longer, and no verb may ever be the victim of a deadlock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tests.permutations.session import Row

LOCK_NOT_AVAILABLE = "55P03"
NO_LEASE = "LQ001"
IN_FLIGHT = "LQ007"
"""A row in flight refuses edits of what its claim took."""

HELLO = '[{"role": "user", "content": "hi"}]'


class Claim(NamedTuple):
    """What names a claim for ever, and what its report repeats."""

    id: str
    claim_seq: int
    claimed_at: str
    lane: str
    max_output_tokens: int

    @property
    def key(self) -> tuple[str, int]:
        """The fence."""
        return self.id, self.claim_seq


def claims_of(rows: Sequence[Row]) -> list[Claim]:
    """Claims out of the rows of llmreq_claim, oldest request first."""
    found = [
        Claim(
            str(r["id"]),
            int(r["claim_seq"] or 0),
            str(r["claimed_at"]),
            str(r["lane"]),
            int(r["max_output_tokens"] or 0),
        )
        for r in rows
    ]
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Verb:
    """One statement with $1, $2 …; `kind` tells the books what its rows mean."""

    kind: str
    sql: str
    parameters: tuple[object, ...] = ()
    engine: bool = False
    may_raise: frozenset[str] = frozenset()
    stop: str = ""
    later_seconds: float = 0.0

    def stopping_at(self, table: str, row: int = 1) -> Verb:
        """The same verb, stopped when it has locked its nth row of that table to write it; the step `go` lets it go on."""
        return replace(self, stop=f"{table}:{row}")

    def later(self, seconds: float) -> Verb:
        """The same verb, by a clock that is so much ahead."""
        return replace(self, later_seconds=seconds)

    def but_may_raise(self, *states: str) -> Verb:
        """The same verb, where these errors are right answers too."""
        return replace(self, may_raise=self.may_raise | set(states))


def _engine(kind: str, sql: str, *parameters: object, may_raise: tuple[str, ...] = ()) -> Verb:
    return Verb(kind, sql, parameters, engine=True, may_raise=frozenset({LOCK_NOT_AVAILABLE, *may_raise}))


# --- workers ------------------------------------------------------------------------------------------------


def claim(worker: int, most: int = 10) -> Verb:
    """Take what is due."""
    return _engine("claim", "SELECT * FROM llmreq_claim($1, $2)", worker, most, may_raise=(NO_LEASE,))


def claim_apart(worker: int, most: int = 10) -> Verb:
    """The same, lane by lane and row by row: what a worker does when a claim raised."""
    return _engine("claim", "SELECT * FROM llmreq_claim_apart($1, $2)", worker, most, may_raise=(NO_LEASE,))


def blocked(ids: Sequence[str]) -> Verb:
    """Which of these cannot be settled now."""
    return _engine("blocked", "SELECT llmreq_blocked($1::uuid[])", "{" + ",".join(ids) + "}")


def outcome_of(claim: Claim, outcome: str = "completed", **facts: Any) -> dict[str, Any]:
    """A worker's report of one call: by default an answer of 100 tokens in and 10 out."""
    answered = outcome in ("completed", "malformed_json", "schema_mismatch", "truncated", "refused")
    usage = {"billed": "usage", "input_tokens": 100, "output_tokens": 10, "http_status": 200}
    return {
        **claim._asdict(),
        "outcome": outcome,
        **(usage if answered else {"billed": "none"}),
        **({"response": "ok"} if outcome == "completed" else {"error_message": outcome}),
        **facts,
    }


def finish(worker: int, *claims: Claim, outcome: str = "completed", **facts: Any) -> Verb:
    """Report these calls in one batch, all alike."""
    return finish_each(worker, [outcome_of(each, outcome, **facts) for each in claims])


def finish_each(worker: int, outcomes: Sequence[dict[str, Any]]) -> Verb:
    """Report a batch of whatever calls."""
    return _engine("finish", "SELECT * FROM llmreq_finish($1, $2::json)", worker, json.dumps(outcomes))


def rescue() -> Verb:
    """Hand on the requests of dead workers."""
    return _engine("rescue", "SELECT llmreq_rescue()")


def heartbeat(worker: int) -> Verb:
    """Keep the lease."""
    return _engine("heartbeat", "SELECT * FROM llmreq_heartbeat($1, 0)", worker)


def chore(name: str) -> Verb:
    """One of the engine's chores: expire, tidy, explain_waiting, sweep_orphans, sweep_pages, learn."""
    return _engine(name, f"SELECT llmreq_{name}()")


# --- producers ----------------------------------------------------------------------------------------------


def insert(count: int = 1, **columns: object) -> Verb:
    """Insert so many requests alike; without anything said, of a priced lane."""
    columns = {"provider": "openai", "model": "gpt-6-luna", **columns}
    if not {"content", "messages"} & columns.keys():
        columns["messages"] = HELLO
    marks = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    return Verb(
        "insert",
        f"INSERT INTO llm_requests ({', '.join(columns)}) VALUES {', '.join([f'({marks})'] * count)} RETURNING id",
        tuple(columns.values()),
    )


def cancel(id: str) -> Verb:
    """What a producer does not want any more."""
    return Verb("cancel", "SELECT llmreq_cancel($1) AS status", (id,))


def retry(id: str) -> Verb:
    """Begin a failed request again."""
    return Verb("retry", "SELECT llmreq_retry($1) AS status", (id,))


def edit(id: str, **columns: object) -> Verb:
    """A hand-made UPDATE. A row in flight refuses it, where it touches what the claim took."""
    columns = columns or {"params": '{"temperature": 0}'}
    sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(columns, 2))
    return Verb(
        "edit",
        f"UPDATE llm_requests SET {sets} WHERE id = $1",
        (id, *columns.values()),
        may_raise=frozenset({IN_FLIGHT}),
    )


def delete(*ids: str) -> Verb:
    """A hand-made DELETE."""
    return Verb(
        "delete",
        "DELETE FROM llm_requests WHERE id = ANY ($1::uuid[]) RETURNING id",
        ("{" + ",".join(ids) + "}",),
    )


def truncate() -> Verb:
    """All requests at once."""
    return Verb("truncate", "TRUNCATE llm_requests")


# --- operators ----------------------------------------------------------------------------------------------


def insert_budget(
    scope: str, subject: str, usd: str = "1", on_exhausted: str = "wait", period: str = "day"
) -> Verb:
    """A new budget; the same one twice is an operator's error, which the second is told."""
    return Verb(
        "budget",
        "INSERT INTO llm_budgets (scope, subject, period, limit_usd, on_exhausted) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING RETURNING id",
        (scope, subject, period, usd, on_exhausted),
    )


def update_budget(scope: str, subject: str, /, **columns: object) -> Verb:
    """Another limit, another way to refuse."""
    sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(columns, 3))
    return Verb(
        "budget",
        f"UPDATE llm_budgets SET {sets} WHERE scope = $1 AND subject = $2",
        (scope, subject, *columns.values()),
    )


def delete_budget(scope: str, subject: str) -> Verb:
    """No budget any more."""
    return Verb("budget", "DELETE FROM llm_budgets WHERE scope = $1 AND subject = $2", (scope, subject))


def set_lane(lane: str, **columns: object) -> Verb:
    """Limits and switches of a lane, as `llmreq limits set` writes them."""
    provider, _, model = lane.partition("/")
    names = ", ".join(columns)
    marks = ", ".join(f"${n}" for n in range(4, len(columns) + 4))
    sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns)
    return Verb(
        "lane",
        f"INSERT INTO llm_lanes (lane, provider, model, {names}) VALUES ($1, $2, $3, {marks})"
        f" ON CONFLICT (lane) DO UPDATE SET {sets}",
        (lane, provider, model, *columns.values()),
    )


def reprice(lane: str) -> Verb:
    """A lane's calls of today by the price book as it is now."""
    return Verb(
        "reprice",
        "SELECT * FROM llmreq_reprice($1, (llmreq_now() AT TIME ZONE 'UTC')::date)",
        (lane,),
        may_raise=frozenset({LOCK_NOT_AVAILABLE}),
    )
