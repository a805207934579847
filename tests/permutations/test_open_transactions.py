"""Somebody leaves a transaction open: what it holds stays where it is, and stops nothing else (invariant 11).

Each holder takes its lock and keeps it; then every verb of the engine runs to its end before the holder commits.
"""

from __future__ import annotations

import pytest

from tests.permutations.orders import Order
from tests.permutations.stage import Stage
from tests.permutations.verbs import (
    Claim,
    Verb,
    chore,
    claim,
    finish,
    heartbeat,
    insert_budget,
    rescue,
)

HOLDERS = {
    "a call's row": "SELECT FROM llm_requests WHERE id = '{called}' FOR UPDATE",
    "a pending row": "SELECT FROM llm_requests WHERE id = '{pending}' FOR UPDATE",
    "a document": "SELECT FROM llm_requests WHERE id = '{document}' FOR UPDATE",
    "a lane": "SELECT FROM llm_lanes WHERE lane = 'openai/gpt-6-luna' FOR UPDATE",
    "a provider's lane": "SELECT FROM llm_lanes WHERE lane = 'openai/*' FOR UPDATE",
    "a budget": "SELECT FROM llm_budgets FOR UPDATE",
    "a new budget": "INSERT INTO llm_budgets (scope, subject, period, limit_usd) VALUES ('tenant', 'n', 'day', 1)",
    "a new lane": "INSERT INTO llm_lanes (lane, provider, model) VALUES ('openai/newest', 'openai', 'newest')",
    "a dead worker": "SELECT FROM llm_workers WHERE id = {silent} FOR UPDATE",
    "the daily rollup": "LOCK TABLE llm_usage_daily IN SHARE ROW EXCLUSIVE MODE",
    "all requests": "LOCK TABLE llm_requests IN ACCESS EXCLUSIVE MODE",
    "the lanes": "LOCK TABLE llm_lanes IN ACCESS EXCLUSIVE MODE",
    "the ledger": "LOCK TABLE llm_attempts IN ACCESS EXCLUSIVE MODE",
}
CHORES = ("expire", "explain_waiting", "tidy", "learn", "sweep_orphans", "sweep_pages")


@pytest.mark.parametrize("holder", HOLDERS)
def test_every_verb_of_the_engine_ends_in_time(stage: Stage, holder: str) -> None:
    document = stage.document(2)
    stage.play(("o.budget",), {"o.budget": insert_budget("tenant", "x", "100")})
    stage.play(("o.limit",), {"o.limit": Verb("lane", LIMIT)})
    for tenant in "xy":
        for model in ("gpt-6-luna", "gpt-6-sol", "new"):
            stage.insert(2, tenant_id=tenant, model=model)
    silent, worker, other = (stage.queue.worker() for _ in range(3))
    lost, calls = stage.claim(silent, 3), stage.claim(worker, 6)
    for _ in range(4):
        stage.queue.advance(seconds=4)
        for each in (worker, other):
            stage.queue.one("SELECT FROM llmreq_heartbeat(%s, 0)", each)
    stage.insert(2, model="newest")
    pending = stage.queue.all("SELECT id FROM llm_requests WHERE status = 'pending' ORDER BY id")
    sql = HOLDERS[holder].format(
        called=calls[0].id, pending=pending[0]["id"], document=document.id, silent=silent
    )
    engine = {
        "claim": claim(other),
        "finish": finish(worker, *calls[:3]),
        "finish_late": finish(silent, *lost[:1]),
        "rescue": rescue(),
        "beat": heartbeat(worker),
        **{name: chore(name) for name in CHORES},
    }
    together = "+".join(f"{name}.verb" for name in engine)
    order: Order = ("h.hold", together, *(f"{name}.wait" for name in engine), "h.commit")
    stage.play(
        order, {"h.hold": Verb("hold", sql), **{f"{name}.verb": verb for name, verb in engine.items()}}
    )


def test_an_answer_beside_a_row_that_somebody_holds_is_settled(stage: Stage) -> None:
    worker, calls = _calls(stage)
    played = stage.play(
        ("h.hold", "a.finish", "a.wait", "h.commit"),
        {
            "h.hold": Verb("hold", HOLDERS["a call's row"].format(called=calls[1].id)),
            "a.finish": finish(worker, *calls),
        },
    )
    assert {row["id"] for row in played.rows("a.finish")} == {calls[0].id, calls[2].id}
    again = stage.play(("a.again",), {"a.again": finish(worker, *calls)})
    assert [row["accepted"] for row in again.rows("a.again")].count("t") == 1


@pytest.mark.parametrize("holder", ["a lane", "a provider's lane"])
def test_answers_of_other_lanes_are_settled_beside_a_lane_that_somebody_holds(
    stage: Stage, holder: str
) -> None:
    worker, calls = _calls(stage)
    free = [call for call in calls if call.lane.startswith("anthropic/")]
    played = stage.play(
        ("h.hold", "a.finish", "a.wait", "h.commit"),
        {"h.hold": Verb("hold", HOLDERS[holder]), "a.finish": finish(worker, *free)},
    )
    assert len(played.rows("a.finish")) == len(free) == 1
    assert played["a.finish"].seconds < 0.5


def test_what_stands_beside_a_row_and_a_lane_that_somebody_holds_is_claimed(stage: Stage) -> None:
    held, _free = stage.insert(2)
    (elsewhere,) = stage.insert(1, provider="anthropic", model="claude-haiku-5-5")
    worker = stage.queue.worker()
    played = stage.play(
        ("h.hold", "a.claim", "a.wait", "h.commit"),
        {"h.hold": Verb("hold", HOLDERS["a pending row"].format(pending=held)), "a.claim": claim(worker)},
    )
    assert held not in {row["id"] for row in played.rows("a.claim")}
    assert elsewhere in {row["id"] for row in played.rows("a.claim")}
    assert played["a.claim"].seconds < 0.5


LIMIT = (
    "INSERT INTO llm_lanes (lane, provider, model, max_in_flight) VALUES ('openai/*', 'openai', '*', 100)"
    " ON CONFLICT DO NOTHING"
)


def _calls(stage: Stage) -> tuple[int, list[Claim]]:
    """A worker with two calls in one lane and one in another provider's."""
    stage.play(("o.limit",), {"o.limit": Verb("lane", LIMIT)})
    stage.insert(2)
    stage.insert(1, provider="anthropic", model="claude-haiku-5-5")
    worker = stage.queue.worker()
    return worker, stage.claim(worker)
