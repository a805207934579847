"""One bad thing stops nothing: rows, outcomes, hands and locks that would hold up the others."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Json

from tests.engine.queue import START, Queue, told

RAISES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING MESSAGE = 'no: ' || NEW.content;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON llm_requests FOR EACH ROW WHEN (NEW.content = 'poison') EXECUTE FUNCTION refuse();
"""


def test_a_row_whose_claim_is_refused_is_found_and_the_others_are_claimed(queue: Queue) -> None:
    queue.run(RAISES)
    poison = queue.insert(content="poison")
    good = {queue.insert(content=f"good {n}")["id"] for n in range(5)}
    worker = queue.worker()
    with pytest.raises(psycopg.Error):
        queue.claim(worker)
    apart = queue.all("SELECT * FROM llmreq_claim_apart(%s, 10)", worker)
    assert {row["id"] for row in apart if row["claim_seq"] is not None} == good
    assert [row["id"] for row in apart if row["claim_seq"] is None] == [poison["id"]]
    more = queue.insert(content="good")
    assert [
        row["id"] for row in queue.all("SELECT * FROM llmreq_claim(%s, 1, %s)", worker, [poison["id"]])
    ] == [more["id"]]
    (event,) = queue.all("SELECT * FROM llm_events WHERE kind = 'claim_refused'")
    assert event["subject"] == str(poison["id"])
    assert "poison" not in event["message"]


def test_a_row_that_only_processing_refuses_ends_failed(queue: Queue) -> None:
    queue.run(
        "ALTER TABLE llm_requests ADD CONSTRAINT odd CHECK (content <> 'poison' OR status <> 'processing')"
    )
    poison = queue.insert(content="poison")
    worker = queue.worker()
    assert queue.all("SELECT * FROM llmreq_claim_apart(%s, 10)", worker) == []
    end = queue.request(poison)
    assert (end["status"], end["error_code"], end["cost_usd"]) == ("failed", "internal", 0)


def test_a_dead_workers_row_that_cannot_be_moved_does_not_hold_up_its_others(queue: Queue) -> None:
    rows = [queue.insert(content=text) for text in ("a", "poison", "b")]
    worker = queue.worker()
    queue.claim(worker)
    queue.run(RAISES)
    queue.advance(seconds=16)
    assert queue.rescue() == 2
    assert [queue.request(row)["status"] for row in rows] == ["pending", "processing", "pending"]
    queue.run("DROP TRIGGER refuse ON llm_requests")
    assert queue.rescue() == 1


def test_a_row_made_by_hand_as_processing_is_handed_on(queue: Queue) -> None:
    row = queue.insert()
    queue.restore(
        "UPDATE llm_requests SET status = 'processing', worker_id = 999999, rescues = 32767 WHERE id = %s",
        row["id"],
    )
    assert queue.one("SELECT llmreq_sweep_orphans() AS n")["n"] == 1
    assert queue.request(row)["error_code"] == "poisoned"
    assert queue.one("SELECT llmreq_tidy() AS n")["n"] >= 0


def test_an_expired_row_that_cannot_end_does_not_hold_up_the_others(queue: Queue) -> None:
    soon = queue.now.replace(hour=13)
    poison, good = (
        queue.insert(content="poison", expires_at=soon),
        queue.insert(content="good", expires_at=soon),
    )
    queue.run(RAISES)
    queue.advance(hours=2)
    assert queue.one("SELECT llmreq_expire() AS n")["n"] == 1
    assert (queue.request(poison)["status"], queue.request(good)["status"]) == ("pending", "failed")


def test_what_somebody_holds_is_left_out_of_a_finish_and_settled_later(queue: Queue, database: str) -> None:
    rows = [queue.insert() for _ in range(3)]
    worker = queue.worker()
    claims = queue.claim(worker)
    outcomes = Json([told(claim) for claim in claims])
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM llm_requests WHERE id = %s FOR UPDATE", (rows[0]["id"],))
        settled = queue.all("SELECT * FROM llmreq_finish(%s, %s::json)", worker, outcomes)
        assert {row["id"] for row in settled} == {row["id"] for row in rows[1:]}
    again = {
        row["id"]: row["accepted"]
        for row in queue.all("SELECT * FROM llmreq_finish(%s, %s::json)", worker, outcomes)
    }
    assert again == {rows[0]["id"]: True, rows[1]["id"]: False, rows[2]["id"]: False}


@pytest.mark.parametrize("held", ["lane", "provider's lane", "budget", "daily rollup"])
def test_a_finish_meets_a_held_lane_or_budget_within_its_time_and_says_what_is_blocked(
    queue: Queue, database: str, held: str
) -> None:
    queue.run("INSERT INTO llm_lanes (lane, provider, model) VALUES ('openai/*', 'openai', '*')")
    queue.run(
        "INSERT INTO llm_budgets (scope, subject, period, limit_usd) VALUES ('model', 'gpt-6-luna', 'day', 5)"
    )
    blocked, free = queue.insert(), queue.insert(provider="anthropic", model="claude-haiku-4-5")
    worker = queue.worker()
    queue.insert()
    claims = {claim["id"]: claim for claim in queue.claim(worker)}
    (first,) = claims.keys() - {blocked["id"], free["id"]}
    queue.finish(worker, claims.pop(first))  # makes a row of the daily rollup
    with psycopg.connect(database) as other:
        other.execute({
            "lane": "SELECT FROM llm_lanes WHERE lane = 'openai/gpt-6-luna' FOR UPDATE",
            "provider's lane": "SELECT FROM llm_lanes WHERE lane = 'openai/*' FOR UPDATE",
            "budget": "SELECT FROM llm_budgets FOR UPDATE",
            "daily rollup": "SELECT FROM llm_usage_daily WHERE model = 'gpt-6-luna' FOR UPDATE",
        }[held])  # fmt: skip
        with pytest.raises(psycopg.errors.LockNotAvailable):
            queue.all(
                "SELECT * FROM llmreq_finish(%s, %s::json)", worker, Json([told(c) for c in claims.values()])
            )
        ids = [blocked["id"], free["id"]]
        assert queue.one("SELECT llmreq_blocked(%s) AS ids", ids)["ids"] == [blocked["id"]]
        assert queue.finish(worker, claims[free["id"]])["accepted"]
    assert queue.one("SELECT llmreq_blocked(%s) AS ids", ids)["ids"] == []
    assert queue.finish(worker, claims[blocked["id"]])["accepted"]


FROZEN = [
    "status = 'failed'", "status = 'pending', worker_id = NULL", "tenant_id = 'other'", "lane = 'openai/other'", "claim_seq = 7",
    "hold_usd = 0", "worker_id = NULL", "content = 'other'", "params = '{}'", "run_id = gen_random_uuid()",
]  # fmt: skip


@pytest.mark.parametrize("edit", FROZEN)
def test_a_row_in_flight_refuses_edits_of_what_its_claim_took(queue: Queue, edit: str) -> None:
    queue.insert()
    worker = queue.worker()
    claim = queue.claim_one(worker)
    with pytest.raises(psycopg.Error) as raised:
        queue.run(f"UPDATE llm_requests SET {edit}")
    assert raised.value.sqlstate == "LQ007"
    queue.run("UPDATE llm_requests SET context = '{\"mine\": 1}', priority = 1")
    assert queue.finish(worker, claim)["accepted"]


@pytest.mark.parametrize("status", ["processing", "completed", "waiting"])
def test_a_status_is_not_changed_by_hand_nor_inserted(queue: Queue, status: str) -> None:
    queue.insert()
    with pytest.raises(psycopg.Error) as raised:
        queue.run("UPDATE llm_requests SET status = %s", status)
    assert raised.value.sqlstate == "LQ007"
    with pytest.raises(psycopg.Error) as raised:
        queue.insert(status=status)
    assert raised.value.sqlstate == "LQ008"


@pytest.mark.parametrize("how", ["DELETE FROM llm_requests", "TRUNCATE llm_requests"])
def test_a_call_whose_row_is_deleted_is_booked_and_its_answer_corrects_the_booking(
    queue: Queue, how: str
) -> None:
    budget = queue.one(
        "INSERT INTO llm_budgets (scope, period, limit_usd) VALUES ('all', 'day', 1) RETURNING id"
    )["id"]
    row = queue.insert(tenant_id="acme")
    worker = queue.worker()
    claim = queue.claim_one(worker)
    hold = queue.request(row)["hold_usd"]
    queue.run(how)
    books = queue.one("SELECT spent_usd, held_usd FROM llm_budgets WHERE id = %s", budget)
    assert (books["spent_usd"], books["held_usd"]) == (hold, 0)
    assert queue.lane()["in_flight"] == 0
    done = queue.finish(worker, claim)
    assert (done["accepted"], done["status"]) == (False, None)
    (attempt,) = queue.attempts(row)
    assert (attempt["outcome"], attempt["tenant_id"], attempt["cost_basis"]) == ("completed", "acme", "usage")
    assert (
        queue.one("SELECT spent_usd AS usd FROM llm_budgets WHERE id = %s", budget)["usd"]
        == attempt["cost_usd"]
        < hold
    )
    assert queue.lane()["in_flight"] == 0


def test_a_page_deleted_by_hand_does_not_leave_its_document_waiting(queue: Queue) -> None:
    queue.run(
        "INSERT INTO llm_agents (name, system_prompt, provider, model, chunk_tokens, on_page_failure)"
        " VALUES ('reader', 'Read.', 'openai', 'gpt-6-luna', 1000, 'partial')"
    )
    row = queue.insert(agent_name="reader", content="One sentence stands here. " * 2000)
    worker = queue.worker()
    places = [{"start": n * 100, "end": n * 100 + 100, "tokens": 500} for n in range(2)]
    queue.finish(
        worker, queue.claim_one(worker), step="paginated", pages=places, input_tokens=0, output_tokens=0
    )
    first, second = queue.claim(worker)
    queue.finish(worker, first)
    queue.run("DELETE FROM llm_requests WHERE id = %s", second["id"])
    assert queue.request(row)["status"] == "pending"


def test_lanes_and_budgets_are_counted_anew_from_what_runs(queue: Queue) -> None:
    queue.run("INSERT INTO llm_budgets (scope, period, limit_usd) VALUES ('all', 'day', 1)")
    queue.insert()
    claim = queue.claim_one(worker := queue.worker())
    held = queue.one("SELECT held_usd, held_tokens FROM llm_budgets")
    queue.run("UPDATE llm_lanes SET in_flight = 9")
    queue.run("UPDATE llm_budgets SET held_usd = 0.5, held_tokens = 3")
    queue.run("SELECT llmreq_tidy()")
    assert queue.lane()["in_flight"] == 1
    assert queue.one("SELECT held_usd, held_tokens FROM llm_budgets") == held
    queue.finish(worker, claim)


def test_after_an_outage_the_first_heartbeat_renews_every_lease(queue: Queue) -> None:
    row = queue.insert()
    worker, other = queue.worker(), queue.worker()
    claim = queue.claim_one(worker)
    queue.advance(seconds=100)
    assert queue.one("SELECT llmreq_rescue() AS n")["n"] == 0  # nobody beats: the database was away
    assert queue.one("SELECT alive FROM llmreq_heartbeat(%s, 0)", other)["alive"]
    assert queue.one("SELECT llmreq_rescue() AS n")["n"] == 0
    assert queue.finish(worker, claim)["accepted"]
    assert [each["outcome"] for each in queue.attempts(row)] == ["completed"]
    second = queue.insert()
    assert queue.claim_one(worker)["id"] == second["id"]
    for _ in range(3):
        queue.advance(seconds=6)
        queue.all("SELECT llmreq_heartbeat(%s, 0)", other)
    assert queue.one("SELECT llmreq_rescue() AS n")["n"] == 1  # that one is really dead


ENGINE_COLUMNS = {
    "rescues": 32767, "claim_seq": 2**31 - 1, "input_tokens": 2**63 - 1, "estimated_tokens": 2**63 - 1,
    "cost_usd": -(10**9), "attempts": 9,
    "hold_usd": 5, "worker_id": 999999, "response": "forged", "wait_reason": "paused", "created_at": "infinity", "budget_id": 3,
}  # fmt: skip


@pytest.mark.parametrize("column", ENGINE_COLUMNS)
def test_what_only_the_engine_writes_is_reset_or_bounded_on_insert(queue: Queue, column: str) -> None:
    row = queue.insert(**{column: ENGINE_COLUMNS[column]})
    plain = queue.insert()
    if column == "estimated_tokens":
        assert row[column] == 10**9
    elif column == "created_at":
        assert row[column] == START
    else:
        assert row[column] == plain[column]
    worker = queue.worker()
    for claim in queue.claim(worker):
        assert queue.finish(worker, claim)["status"] == "completed"


@pytest.mark.parametrize("label", ["tenant_id", "agent_id", "task_type", "model", "provider", "dedupe_key"])
def test_a_label_that_is_too_long_fails_its_row_alone(queue: Queue, label: str) -> None:
    columns = {
        "provider": "openai",
        "model": "gpt-6-luna",
        label: "".join(chr(33 + n * 7 % 90) for n in range(2100)),
    }
    row = queue.insert(**{name: value.replace("/", "x") for name, value in columns.items()})
    assert (row["status"], row["error_code"]) == ("failed", "invalid_request")
    assert row["error_message"].startswith(f"{label} has 2100 bytes")


@pytest.mark.parametrize("when", ["infinity", "294276-01-01"])
@pytest.mark.parametrize("column", ["scheduled_at", "expires_at"])
def test_a_time_that_never_comes_fails_its_row_alone(queue: Queue, column: str, when: str) -> None:
    row = queue.insert(**{column: when})
    assert (row["status"], row["error_code"]) == ("failed", "invalid_request")
    assert row["error_message"].startswith(column)
    assert queue.insert(scheduled_at="-infinity")["status"] == "pending"


DEFERRED = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'no';
END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON llm_requests DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.content = 'poison') EXECUTE FUNCTION refuse();
"""


def test_what_a_deferred_trigger_refuses_is_found_as_well(queue: Queue) -> None:
    queue.run(DEFERRED)
    poison, good = queue.insert(content="poison"), queue.insert()
    worker = queue.worker()
    with pytest.raises(psycopg.Error):
        queue.claim(worker)
    apart = queue.all("SELECT * FROM llmreq_claim_apart(%s, 10)", worker)
    assert {row["id"]: row["claim_seq"] for row in apart} == {poison["id"]: None, good["id"]: 1}


def test_a_lane_that_somebody_refuses_to_make_holds_up_no_other(queue: Queue) -> None:
    queue.run("ALTER TABLE llm_lanes ADD CONSTRAINT odd CHECK (lane <> 'openai/odd')")
    refused, good = queue.insert(provider="openai", model="odd"), queue.insert()
    worker = queue.worker()
    assert [claim["id"] for claim in queue.claim(worker)] == [good["id"]]
    assert queue.request(refused)["status"] == "pending"


@pytest.mark.parametrize(
    "columns",
    [
        {"claim_seq": 2**31 - 1, "attempts": 1},
        {"claim_seq": 5, "attempts": -5},
        {"attempts": -32767, "rescues": 32767},
    ],
)
def test_engine_columns_that_cancel_each_other_out_are_reset_too(
    queue: Queue, columns: dict[str, int]
) -> None:
    row = queue.insert(**columns)
    assert (row["claim_seq"], row["attempts"], row["rescues"]) == (0, 0, 0)


def test_the_workers_own_lane_is_not_for_producers(queue: Queue) -> None:
    assert queue.insert(provider="local", model="pages")["error_code"] == "invalid_request"
