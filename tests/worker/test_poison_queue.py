"""One poison row of every kind in a queue of a thousand: each ends alone, the others complete at full speed."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from llmreq.simulator.process import Simulator
from tests.chaos.hostile import hostile_provider
from tests.worker.fleet import Fleet, Table, until

QUEUE = 1000
SLOWER, GRACE_SECONDS = 1.5, 2.0
"""How much longer the poisoned queue may take: a busy machine shares two cores with the processes that judge the poison."""

MOST_MEMORY_BYTES = 1_500_000_000
OPEN = "status IN ('pending', 'processing', 'waiting')"


class Poison(NamedTuple):
    """Columns as SQL expressions, and how the row may end: `completed` or an error code."""

    columns: dict[str, str]
    ends: set[str]


def deep(levels: int, before: str = "[", after: str = "]", inmost: str = "") -> str:
    """JSON nested so deep."""
    return before * levels + inmost + after * levels


def noise(length: int) -> str:
    """A text that no compression makes smaller."""
    chance = random.Random(7)
    return "".join(chance.choices(string.ascii_letters, k=length))


def costly_schema() -> str:
    """24 references, each written twice: 16 million subschemas when they are written out."""
    names = [
        f'"n{n}": {{"anyOf": [{{"$ref": "#/$defs/n{n + 1}"}}, {{"$ref": "#/$defs/n{n + 1}"}}]}}'
        for n in range(24)
    ]
    return '{"$ref": "#/$defs/n0", "$defs": {' + ", ".join([*names, '"n24": {"type": "string"}']) + "}}"


INVALID = {"invalid_request", "invalid_schema"}
ROWS = {
    "deep params": Poison({"params": f"""'{{"metadata": {deep(2000)}}}'"""}, INVALID),
    "huge number": Poison({"params": """'{"seed": 1e5000}'"""}, INVALID),
    "deep messages": Poison({"messages": f"""'[{{"role": "user", "content": {deep(2000)}}}]'"""}, INVALID),
    "deep schema": Poison({"response_schema": f"""'{deep(1000, '{"not": ', "}", "{}")}'"""}, INVALID),
    "costly schema": Poison({"response_schema": f"'{costly_schema()}'"}, INVALID),
    "long agent": Poison({"agent_id": f"'{noise(1400)}'"}, INVALID),
    "long tenant": Poison({"tenant_id": f"'{noise(1400)}'"}, INVALID),
    "long task type": Poison({"task_type": f"'{noise(1400)}'"}, INVALID),
    "never due": Poison({"scheduled_at": "'infinity'"}, INVALID),
    "due in another age": Poison({"scheduled_at": "'294276-01-01'"}, INVALID),
    "most tokens": Poison({"estimated_tokens": "9223372036854775807"}, {"completed", *INVALID}),
    "refused by a trigger": Poison({"content": "'TRIGGER'"}, {"internal"}),
}  # fmt: skip
ANSWERS = {
    # What can be kept is kept, with the character that no text may hold replaced or its column left out.
    "nul_tier": {"completed"},
    "nul_model": {"completed"},
    "nul_finish": {"completed", "internal", "provider_unavailable"},
    "nul_text": {"completed", "malformed_json"},
    "surrogate": {"completed", "malformed_json"},
    "headers": {"provider_unavailable", "invalid_request"},
    "bulk": {"completed", "invalid_request", "malformed_json"},
    "tools": {"completed", "schema_mismatch", "invalid_request"},
    "huge_numbers": {"completed"},
    "zero_limit": {"completed"},
    "pipelined": {"completed", "provider_unavailable"},
    "hang": {"provider_timeout"},
    "drip": {"provider_timeout"},
}
KINDS = len(ROWS) + len(ANSWERS)

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
    expected = {name: each.ends for name, each in ROWS.items()} | ANSWERS
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
    for name, row in ROWS.items():
        insert(
            table, name, {"provider": "'openai'", "model": "'gpt-6-luna'", "content": "'hi'", **row.columns}
        )
    for kind in ANSWERS:
        insert(
            table,
            kind,
            {
                "provider": "'hostile'", "model": f"'{kind}'", "content": f"'[[hostile:{kind}]]'", "timeout_seconds": "5",
                **({"timeout_seconds": "2"} if kind in ("hang", "drip") else {}),
            },
        )  # fmt: skip


def insert(table: Table, name: str, columns: dict[str, str]) -> None:
    if "messages" in columns:
        del columns["content"]
    table.all(
        f"INSERT INTO llm_requests ({', '.join(columns)}, max_attempts, context)"
        f" VALUES ({', '.join(columns.values())}, 1, jsonb_build_object('poison', '{name}'))".replace(
            "%", "%%"
        )
    )


def peak_memory_bytes(pid: int) -> int:
    """The most that this process ever had in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
