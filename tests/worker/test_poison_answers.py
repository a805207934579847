"""A worker meets every poison an answer or a row can hold: each fails alone, and the log tells nothing of what was worked on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from llmreq.database.connection import connect_async
from llmreq.worker import engine
from llmreq.worker.engine import Claim
from llmreq.worker.large_claim import decoded_claim
from llmreq.worker.large_json import LargeJson
from llmreq.worker.reader import read_slice
from tests.worker.fleet import Fleet, Table
from tests.worker.hostile import Hostile

PROMPT, ANSWER, KEY = "PROMPT-41ac", "ANSWER-9f31", "sk-KEY-8d20ffab"
REGISTER = "SELECT llmreq_register('test', '0', '{openai}', '{}', 100, interval '60 seconds')"
POISON = [
    "marker",
    "nul_names",
    "endless_names",
    "endless_counts",
    "odd_refusal",
    "odd_tool",
    "numbers",
    "deep",
]


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    with Hostile() as server:
        yield server


def nested(levels: int) -> Any:
    inner: Any = PROMPT
    for _ in range(levels):
        inner = [inner]
    return inner


def test_megabytes_of_json_in_a_row_are_left_encoded_until_a_process_beside_has_them(table: Table) -> None:
    turns = [{"role": "user", "content": "x" * 40}] * 20_000
    row = table.insert(provider="openai", model="gpt-6-luna", messages=turns, params={"seed": 1})

    async def read() -> Claim:
        connection = await connect_async(table.url)
        async with connection:
            worker = (await (await connection.execute(REGISTER)).fetchone() or [0])[0]
            found = await read_slice(connection, await engine.claim(connection, worker, 1))
        ((claim, _size),) = found.claims
        return claim

    claim = asyncio.run(read())
    assert claim.id == row["id"]
    assert (type(claim.messages), claim.params) == (LargeJson, {"seed": 1})
    assert decoded_claim(claim).messages == turns
    table.all("SELECT llmreq_cancel(%s)", row["id"])


def test_large_rows_of_every_kind_are_answered(table: Table, fleet: Fleet, hostile: Hostile) -> None:
    ask = {"provider": "openai", "model": "gpt-6-luna", "max_attempts": 1}
    turns = [{"role": "user", "content": "x" * 40}] * 20_000
    properties = {f"p{n}": {"type": "string", "minLength": n} for n in range(20_000)}
    rows = [
        table.insert(**ask, messages=turns),
        table.insert(**ask, content="word " * 1_000_000),
        table.insert(**ask, content="x", response_schema={"type": "object", "properties": properties}),
        table.insert(**ask, content="x", params={"metadata": {f"k{n}": "v" * 40 for n in range(15_000)}}),
    ]
    refused = table.insert(**ask, content="x", response_schema={"type": "objekt", "properties": properties})
    assert fleet.drain(OPENAI_BASE_URL=hostile.base_url) == 0
    assert [table.request(row)["error_code"] for row in (*rows, refused)] == [None] * 4 + ["invalid_schema"]


def test_each_poison_fails_alone_and_the_log_tells_no_prompt_answer_or_key(
    table: Table, fleet: Fleet, hostile: Hostile
) -> None:
    ask = {"provider": "openai", "model": "gpt-6-luna", "max_attempts": 1}
    answers = {name: table.insert(**ask, content=f"{PROMPT} <<{name}>>") for name in POISON}
    rows = [
        table.insert(**ask, content=PROMPT, response_schema={"const": nested(800)}),
        table.insert(**ask, content=PROMPT, response_schema={"pattern": f"({PROMPT}"}),
        table.insert(**ask, content=PROMPT, tools=[{"name": PROMPT, "parameters": {"type": PROMPT}}]),
        table.insert(**ask, messages=[{"role": PROMPT, "content": PROMPT}]),
        table.insert(provider="local", model="rules", task_type="poetry", content=PROMPT),
    ]
    deep = table.insert(**ask, content=PROMPT, params={"metadata": nested(800)})
    fine = [table.insert(**ask, content=f"{PROMPT} <<fine>>") for _ in range(20)]
    assert fleet.drain(OPENAI_BASE_URL=hostile.base_url, OPENAI_API_KEY=KEY) == 0
    ends = {name: table.request(row) for name, row in answers.items()}
    assert {name: end["error_code"] for name, end in ends.items()} == {
        **dict.fromkeys(POISON, None), "odd_refusal": "refused", "odd_tool": "schema_mismatch",
        "numbers": "malformed_json", "deep": "malformed_json",
    }  # fmt: skip
    assert ends["nul_names"]["response"] == "x\ufffdy"
    (odd,) = table.attempts(answers["nul_names"])
    assert (odd["service_tier"], odd["cost_basis"], len(odd["provider_model"])) == ("a\ufffdb", "usage", 200)
    (endless,) = table.attempts(answers["endless_counts"])
    assert (endless["cost_basis"], endless["input_tokens"]) == ("upper_bound", None)
    for end in map(table.request, rows):
        assert end["status"] == "failed"
        assert end["error_code"] in ("invalid_request", "invalid_schema")
        assert end["cost_usd"] == 0
    assert table.request(deep)["error_code"] in (None, "invalid_request")
    assert {table.request(row)["status"] for row in fine} == {"completed"}
    logged = fleet.logs()
    assert "worker_registered" in {json.loads(line)["event"] for line in logged.splitlines()}
    for marker in (PROMPT, ANSWER, KEY, KEY[8:]):
        assert marker not in logged
