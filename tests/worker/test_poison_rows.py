"""A row that cannot be read fails alone: its neighbours are called, nobody dies of it, and it costs nothing (invariant 11)."""

from __future__ import annotations

from pathlib import Path

from llmreq.simulator.process import Simulator
from tests.worker.fleet import Fleet, Row, Table, check_bill, until

DEPTH = 2_000
INNOCENT = 40

POISON = {
    "deep params": {"params": '{"metadata":' + "[" * DEPTH + "]" * DEPTH + "}"},
    "a number beyond every float": {"params": '{"seed":1e5000}'},
    "a fraction beyond every float": {"params": '{"temperature":' + "9" * 400 + ".5}"},
    "deep messages": {"messages": '[{"role":"user","content":' + "[" * DEPTH + "]" * DEPTH + "}]"},
    "a deep schema": {"response_schema": '{"items":' * DEPTH + "true" + "}" * DEPTH},
    "deep tools": {"tools": '[{"name":"f","parameters":' + '{"not":' * DEPTH + "true" + "}" * DEPTH + "}]"},
    "a deep tool choice": {"tool_choice": "[" * DEPTH + "]" * DEPTH},
}


def test_what_cannot_be_read_fails_alone_and_uncharged(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    innocent = [table.insert(provider="openai", model="gpt-6-luna", content="hi") for _ in range(INNOCENT)]
    poison = {name: _insert_raw(table, **columns) for name, columns in POISON.items()}
    assert fleet.drain() == 0
    for row in innocent:
        assert _end(table, row)["status"] == "completed"
    for name, row in poison.items():
        ended = _end(table, row)
        assert (ended["status"], ended["error_code"]) == ("failed", "invalid_request"), name
        (column,) = POISON[name]
        assert ended["error_message"].startswith(f"{column} cannot be read: "), name
        (attempt,) = table.attempts(row)
        assert (attempt["cost_basis"], attempt["cost_usd"]) == ("none", 0), name
    assert len(simulator.calls()) == INNOCENT
    check_bill(table, simulator)


SETTINGS = {"DateStyle": "German, DMY", "IntervalStyle": "sql_standard", "bytea_output": "escape"}


def test_no_setting_of_a_database_changes_what_is_read_or_booked(table: Table, fleet: Fleet) -> None:
    row = table.insert(provider="openai", model="gpt-6-luna", content="日本語 ☂", task_type="分類")
    database = table.one("SELECT current_database() AS name")["name"]
    for setting, value in {**SETTINGS, "client_encoding": "LATIN1"}.items():
        table.all(f"ALTER DATABASE {database} SET {setting} = '{value}'")
    assert fleet.drain() == 0
    assert _end(table, row)["status"] == "completed"
    assert table.one("SELECT count(*) AS n FROM llm_attempts WHERE accepted")["n"] == 1


REFUSES = """
CREATE FUNCTION users_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.agent_id, OLD.status) = ('cursed at its end', 'processing')
     OR (NEW.agent_id, OLD.status, NEW.status) = ('cursed at its claim', 'pending', 'processing')
     OR (NEW.agent_id, OLD.status) = ('cursed for ever', 'pending') THEN
    RAISE 'never';
  END IF;
  RETURN NEW;
END $$
"""
AT_UPDATE = "CREATE TRIGGER zz_own BEFORE UPDATE ON llm_requests FOR EACH ROW EXECUTE FUNCTION users_own()"


def test_a_users_trigger_stops_only_what_it_refuses(
    table: Table, fleet: Fleet, simulator: Simulator, tmp_path: Path
) -> None:
    question = {"provider": "openai", "model": "gpt-6-luna", "content": "hi"}
    innocent = [table.insert(**question) for _ in range(INNOCENT // 2)]
    at_end = table.insert(**question, agent_id="cursed at its end")
    at_claim = table.insert(**question, agent_id="cursed at its claim")
    for_ever = table.insert(**question, agent_id="cursed for ever")
    innocent += [table.insert(**question) for _ in range(INNOCENT // 2)]
    table.all(REFUSES)
    table.all(AT_UPDATE)
    worker = fleet.start()
    until("the innocent to end", lambda: all(_end(table, row)["status"] == "completed" for row in innocent))
    until("the trigger's victims to be named", lambda: "outcome_parked" in fleet.logs())
    assert fleet.logs().count('"request_unclaimable"') == 1
    assert _end(table, at_claim)["error_code"] == "internal"
    assert _end(table, for_ever)["status"] == "pending"
    worker.terminate()
    assert worker.wait(timeout=30) == 0
    assert len(list((tmp_path / "spool").glob("*/*.jsonl"))) == 1
    table.all("DROP TRIGGER zz_own ON llm_requests")
    assert fleet.drain() == 0
    for row in (at_end, for_ever):
        assert _end(table, row)["status"] == "completed"
    assert len(simulator.calls()) == INNOCENT + 2, "the spooled answer was not bought again"
    check_bill(table, simulator)


def _end(table: Table, row: Row) -> Row:
    """How it ended, without the columns that this client cannot read either."""
    return table.one(
        "SELECT status, attempts, error_code, error_message FROM llm_requests WHERE id = %s", row["id"]
    )


def _insert_raw(table: Table, **columns: str) -> Row:
    """A row whose JSON comes as text: no client's encoder has seen it."""
    given = {"provider": "openai", "model": "gpt-6-luna", **columns}
    if "messages" not in given:
        given["content"] = "hi"
    marks = ", ".join(["%s"] * len(given))
    return table.one(
        f"INSERT INTO llm_requests ({', '.join(given)}) VALUES ({marks}) RETURNING id", *given.values()
    )
