"""What must hold after the storm, whatever happened in it."""

from __future__ import annotations

from decimal import Decimal

from tests.chaos.scene import CAP_USD, CAPPED, Scene
from tests.worker.fleet import check_bill

OPEN = "status IN ('pending', 'processing', 'waiting')"


def check(scene: Scene) -> None:
    """AssertionError names what does not hold."""
    table = scene.table
    found = {row["dedupe_key"] for row in table.all("SELECT dedupe_key FROM llm_requests")}
    assert set(scene.inserted) <= found, f"lost: {sorted(set(scene.inserted) - found)[:5]}"
    assert table.count(OPEN) == 0, "some requests never ended"
    unbalanced = table.all("SELECT * FROM llmreq_ledger_check LIMIT 5")
    assert unbalanced == [], f"the books do not balance: {unbalanced}"
    assert table.all("SELECT lane FROM llm_lanes WHERE in_flight <> 0") == [], "permits are still held"
    held = (
        "budget_id IS NOT NULL OR hold_usd IS NOT NULL OR hold_tokens IS NOT NULL OR held_input_tokens IS NOT NULL"
        " OR held_output_tokens IS NOT NULL OR worker_id IS NOT NULL"
    )
    assert table.count(held) == 0, "holds are left"
    assert table.all("SELECT id FROM llm_budgets WHERE held_usd <> 0 OR held_tokens <> 0") == [], (
        "a budget still holds"
    )
    twice = table.all(
        "SELECT request_id FROM llm_attempts WHERE accepted GROUP BY request_id, claim_seq HAVING count(*) > 1"
    )
    assert twice == [], "a claim has two accepted attempts"
    ends = table.all(
        "SELECT r.id FROM llm_requests r WHERE r.status = 'completed' AND r.pages IS NULL AND r.lane <> 'local/pages' AND 1 <> ("
        " SELECT count(*) FROM llm_attempts a WHERE a.request_id = r.id AND a.accepted AND a.outcome = 'completed')"
    )
    assert ends == [], "a completed request without exactly one accepted answer"
    again = table.all(
        "SELECT r.id FROM llm_requests r WHERE r.parent_id IS NOT NULL AND r.status = 'completed' AND EXISTS ("
        " SELECT FROM llm_attempts a JOIN llm_attempts b ON b.request_id = a.request_id AND b.claimed_at > a.settled_at"
        " WHERE a.request_id = r.id AND a.accepted AND a.outcome = 'completed')"
    )
    assert again == [], "a finished page was called again"
    check_bill(table, scene.simulator)
    refused = scene.simulator.ledger()["refused_calls"]
    assert refused == 0, f"the fleet went over its limit {refused} times"


def check_cap(scene: Scene) -> None:
    """The capped tenant's spend, lost calls at their bound included, is within its cap; then the cap is lifted."""
    spent = scene.table.one(
        "SELECT coalesce(sum(cost_usd), 0) AS usd FROM llm_attempts WHERE tenant_id = %s", CAPPED
    )["usd"]
    assert spent <= Decimal(CAP_USD), f"a budget of ${CAP_USD} has ${spent} spent"
    waiting = scene.table.count("wait_reason = 'budget'")
    scene.tally["requests that waited for the budget"] += waiting
    scene.table.all("UPDATE llm_budgets SET limit_usd = 1000")


def tally(scene: Scene) -> dict[str, int]:
    """What was done and what came of it."""
    row = scene.table.one(
        "SELECT count(*) AS requests, count(*) FILTER (WHERE status = 'completed') AS completed,"
        " count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE status = 'cancelled') AS cancelled,"
        " coalesce(sum(rescues), 0)::int AS rescued FROM llm_requests"
    )
    calls = scene.table.one(
        "SELECT count(*) AS booked, count(*) FILTER (WHERE outcome = 'lost') AS lost,"
        " count(*) FILTER (WHERE NOT accepted AND outcome NOT IN ('lost', 'released')) AS late FROM llm_attempts"
    )
    # Each rescue books a lost call; where one is neither lost any more nor set aside, its late answer was taken.
    adopted = scene.table.one(
        "SELECT coalesce(sum(r.rescues - a.n), 0)::int AS n FROM llm_requests r CROSS JOIN LATERAL ("
        " SELECT count(*) AS n FROM llm_attempts a WHERE a.request_id = r.id AND NOT a.accepted AND a.outcome <> 'released') a"
        " WHERE r.rescues > a.n"
    )
    return {
        **dict(sorted(scene.tally.items())),
        **row,
        "provider's calls": scene.simulator.ledger()["calls"],
        "calls booked": calls["booked"],
        "lost, booked at their bound": calls["lost"],
        "late answers booked, not accepted": calls["late"],
        "late answers adopted": adopted["n"],
    }
