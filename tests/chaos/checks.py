"""What must hold after the storm, whatever happened in it."""

from __future__ import annotations

from decimal import Decimal

from tests.chaos.poison import ROWS
from tests.chaos.scene import CAP_USD, CAPPED, Scene
from tests.worker.fleet import Table

OPEN = "status IN ('pending', 'processing', 'waiting')"


def check(scene: Scene) -> None:
    """AssertionError names what does not hold."""
    _check_requests(scene)
    _check_nothing_is_held(scene.table)
    _check_answers(scene.table)
    _check_poison(scene.table)
    _check_bill(scene)
    _check_nothing_was_bought_twice(scene)
    unbalanced = scene.table.all("SELECT * FROM llmreq_ledger_check LIMIT 5")
    assert unbalanced == [], f"the books do not balance: {unbalanced}"
    refused = scene.simulator.ledger()["refused_calls"]
    assert refused == 0, f"the fleet went over its limit {refused} times"
    edited = scene.tally["edits of rows in flight that were not refused"]
    assert edited == 0, f"{edited} edits of rows in flight were not refused"


def _check_requests(scene: Scene) -> None:
    # A row that is refused for its labels does not keep its key.
    key = "SELECT coalesce(dedupe_key, context ->> 'key') AS key FROM llm_requests"
    found = {row["key"] for row in scene.table.all(key)}
    lost = set(scene.producer.inserted) - scene.deleted - found
    assert not lost, f"lost: {sorted(lost)[:5]}"
    assert scene.table.count(OPEN) == 0, "some requests never ended"


def _check_nothing_is_held(table: Table) -> None:
    assert table.all("SELECT lane FROM llm_lanes WHERE in_flight <> 0") == [], "permits are still held"
    held = (
        "budget_id IS NOT NULL OR hold_usd IS NOT NULL OR hold_tokens IS NOT NULL OR held_input_tokens IS NOT NULL"
        " OR held_output_tokens IS NOT NULL OR worker_id IS NOT NULL"
    )
    assert table.count(held) == 0, "holds are left"
    assert table.all("SELECT id FROM llm_budgets WHERE held_usd <> 0 OR held_tokens <> 0") == [], (
        "a budget still holds"
    )


def _check_answers(table: Table) -> None:
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


def _check_poison(table: Table) -> None:
    """Rows that can never be sent ended as such; how a hostile answer ends depends on the weather."""
    ended = table.all(
        "SELECT context ->> 'poison' AS kind, coalesce(error_code, status) AS end FROM llm_requests"
        " WHERE context ->> 'poison' = ANY (%s)",
        [kind for kind, row in ROWS.items() if "completed" not in row.ends],
    )
    # A poison row that a storm's trigger would not let anybody touch may have expired meanwhile.
    unlucky = {"expired", "internal", "cancelled"}  # or its producer may have had enough of it
    wrong = [row for row in ended if row["end"] not in ROWS[row["kind"]].ends | unlucky]
    assert wrong == [], f"poison that ended otherwise: {wrong[:5]}"


def _check_bill(scene: Scene) -> None:
    """Every answered call is booked once, at the provider's own figure; answers that nobody booked belong to lost calls."""
    honest = "provider NOT IN ('hostile', 'unreachable')"
    calls = {f"req_{call['id']}": call for call in scene.simulator.calls()}
    for attempt in scene.table.all(f"SELECT * FROM llm_attempts WHERE cost_basis = 'usage' AND {honest}"):
        call = calls.pop(attempt["provider_request_id"], None)
        assert call is not None, f"{attempt['provider_request_id']} is booked twice, or was never called"
        assert attempt["cost_usd"] == Decimal(call["cost_usd"]), "booked at another price"
    unbooked = [Decimal(call["cost_usd"]) for call in calls.values() if call["billed"]]
    lost = scene.table.all(f"SELECT cost_usd FROM llm_attempts WHERE cost_basis = 'upper_bound' AND {honest}")
    assert len(unbooked) <= len(lost), f"{len(unbooked)} answers are not booked, {len(lost)} calls are lost"
    assert sum(unbooked, Decimal(0)) <= sum((each["cost_usd"] for each in lost), Decimal(0)), "underbooked"


def _check_nothing_was_bought_twice(scene: Scene) -> None:
    """The calls of a worker that lived, and was not cut off while others were not, are never given to another one."""
    taken_away = scene.table.all(
        "SELECT request_id::text, claim_seq, worker_id, outcome FROM llm_attempts"
        " WHERE cost_basis <> 'correction' AND (outcome = 'lost' OR NOT accepted AND outcome NOT IN ('released', 'cancelled'))"
    )
    wrong = [
        row
        for row in taken_away
        if row["request_id"] not in scene.deleted_ids
        and scene.census.pids.get(row["worker_id"], 0) not in {0, *scene.hurt}
    ]
    assert wrong == [], f"{len(wrong)} calls of workers that lived were taken away: {wrong[:3]}"


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
        " count(*) FILTER (WHERE outcome = 'rate_limited') AS throttled,"
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
        "deleted by hand": len(scene.deleted),
        "provider's calls": scene.simulator.ledger()["calls"],
        "calls booked": calls["booked"],
        "calls throttled": calls["throttled"],
        "lost, booked at their bound": calls["lost"],
        "late answers booked, not accepted": calls["late"],
        "late answers adopted": adopted["n"],
    }
