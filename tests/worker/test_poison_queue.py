"""One poison row of every kind in a queue of a thousand: each ends alone, the others complete at full speed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmreq.simulator.process import Simulator
from tests.chaos.hostile import hostile_provider
from tests.chaos.poison import ANSWERS, ROWS, insert_statement, question, row
from tests.worker.fleet import Fleet, Table, until

QUEUE = 1000
SLOWER, GRACE_SECONDS = 1.5, 2.0
"""How much longer the poisoned queue may take: a busy machine shares two cores with the processes that judge the poison."""

MOST_MEMORY_BYTES = 1_500_000_000
OPEN = "status IN ('pending', 'processing', 'waiting')"


REFUSED = {"provider": "'openai'", "model": "'gpt-6-luna'", "content": "'TRIGGER'", "max_attempts": "1"}
KINDS = len(ROWS) + len(ANSWERS) + 1

TRIGGER = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not in my table'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON llm_requests FOR EACH ROW
WHEN (NEW.content = 'TRIGGER' AND NEW.response IS NOT NULL) EXECUTE FUNCTION refuse()
"""


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    with hostile_provider() as url:
        yield url


@pytest.mark.timeout(240)
def test_each_poison_row_ends_alone_and_the_others_complete_at_full_speed(
    table: Table, fleet: Fleet, simulator: Simulator, hostile: str, tmp_path: Path
) -> None:
    simulator.configure(latency_ms="20")
    config = tmp_path / "llmreq.toml"
    config.write_text(f'[providers.hostile]\napi = "openai"\nbase_url = "{hostile}"\n')
    table.all(TRIGGER)
    worker = fleet.start("--concurrency", "64", LLMREQ_CONFIG=str(config))
    clean_seconds = run(table, "clean", QUEUE)
    poison(table)
    poisoned_seconds = run(table, "poisoned", QUEUE - KINDS)
    until("every row to end", lambda: table.count(OPEN) == 0, seconds=90)

    ends = {
        row["task"]: row["code"] or row["status"]
        for row in table.all(
            "SELECT context ->> 'poison' AS task, status, error_code AS code FROM llm_requests WHERE context ? 'poison'"
        )
    }
    expected = (
        {name: each.ends for name, each in ROWS.items()} | ANSWERS | {"refused by a trigger": {"internal"}}
    )
    assert {name: end for name, end in ends.items() if end not in expected[name]} == {}
    assert ends.keys() == expected.keys()
    unclear = table.all(
        "SELECT context, error_message FROM llm_requests WHERE status = 'failed'"
        " AND (error_message IS NULL OR error_message = '' OR error_message LIKE '%%Traceback%%')"
    )
    assert unclear == []
    assert table.count("status = 'completed' AND NOT context ? 'poison'") == 2 * QUEUE - KINDS
    assert poisoned_seconds < SLOWER * clean_seconds + GRACE_SECONDS
    assert peak_memory_bytes(worker.pid) < MOST_MEMORY_BYTES
    worker.terminate()
    assert worker.wait(30) == 0


def run(table: Table, run_name: str, count: int) -> float:
    """Insert so many innocent rows; the seconds from the first claim to the last end, by the database's clock."""
    table.all(
        "INSERT INTO llm_requests (provider, model, content, agent_id, tenant_id)"
        " SELECT CASE WHEN n %% 2 = 0 THEN 'openai' ELSE 'anthropic' END,"
        " CASE WHEN n %% 2 = 0 THEN 'gpt-6-luna' ELSE 'claude-haiku-5-5' END, 'request ' || n, %s, 't' || n %% 5"
        " FROM generate_series(1, %s) n",
        run_name, count,
    )  # fmt: skip
    mine = f"agent_id = '{run_name}'"
    until("the innocent rows to end", lambda: table.count(f"{OPEN} AND {mine}") == 0, seconds=120)
    took = table.one(
        "SELECT extract(epoch FROM max(completed_at) - min(claimed_at))::float8 AS seconds FROM llm_requests"
        " WHERE agent_id = %s",
        run_name,
    )
    return float(took["seconds"])


def poison(table: Table) -> None:
    """One row of every kind, each in a transaction of its own, as its producer would insert it."""
    rows = {name: row(name) for name in ROWS} | {"refused by a trigger": REFUSED}
    traps = {kind: question(kind, 2 if kind in ("hang", "drip") else 10) for kind in ANSWERS}
    for name, columns in (rows | traps).items():
        table.all(insert_statement(columns, name))


def peak_memory_bytes(pid: int) -> int:
    """The most that this process ever had in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
