"""From an INSERT to the row that comes back, through a real worker process and a real HTTP provider."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from llmreq.simulator.process import Simulator
from tests.worker.fleet import Fleet, Table

SCHEMA = {
    "type": "object",
    "required": ["name", "age"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
}
TOOL = {"name": "add", "description": "adds", "parameters": {**SCHEMA, "required": ["name", "age"]}}
LANES = [("openai", "gpt-6-luna"), ("anthropic", "claude-haiku-5-5")]


def test_the_smallest_insert_comes_back_answered_costed_and_booked(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    row = table.one(
        """INSERT INTO llm_requests (messages) VALUES ('[{"role":"user","content":"hi"}]') RETURNING *"""
    )
    assert fleet.drain() == 0
    end = table.request(row)
    (attempt,) = table.attempts(row)
    assert (end["status"], end["lane"], end["attempts"]) == ("completed", "openai/gpt-6-luna", 1)
    assert (end["provider"], end["model"]) == ("openai", "gpt-6-luna")
    assert end["response"]
    assert end["input_tokens"] > 0
    assert end["output_tokens"] > 0
    assert end["cost_usd"] == Decimal(simulator.ledger()["cost_usd"])
    assert (attempt["outcome"], attempt["accepted"], attempt["http_status"]) == ("completed", True, 200)
    assert attempt["provider_request_id"].startswith("req_sim")


@pytest.mark.parametrize(("provider", "model"), LANES)
def test_a_schema_is_met_by_both_vendors(table: Table, fleet: Fleet, provider: str, model: str) -> None:
    row = table.insert(provider=provider, model=model, content="who?", response_schema=SCHEMA)
    assert fleet.drain() == 0
    end = table.request(row)
    assert end["status"] == "completed"
    assert set(end["parsed_response"]) == {"name", "age"}


@pytest.mark.parametrize(("provider", "model"), LANES)
def test_a_tool_conversation_has_two_turns_in_one_shape(
    table: Table, fleet: Fleet, provider: str, model: str
) -> None:
    question = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "add them"}]
    first = table.insert(provider=provider, model=model, messages=question, tools=[TOOL])
    assert fleet.drain() == 0
    parsed = table.request(first)["parsed_response"]
    (call,) = parsed["tool_calls"]
    assert (call["tool_name"], set(call)) == ("add", {"id", "tool_name", "params"})
    assert parsed["final_response"] is None
    answered = [
        *question,
        {"role": "assistant", "tool_calls": parsed["tool_calls"]},
        {"role": "tool", "tool_call_id": call["id"], "content": "7"},
    ]
    second = table.insert(provider=provider, model=model, messages=answered, tools=[TOOL])
    assert fleet.drain() == 0
    end = table.request(second)
    assert (end["status"], end["error_code"]) == ("completed", None)
    assert end["response"]


@pytest.mark.parametrize(
    ("fault", "attempts", "status", "code"),
    [
        ("script=broken_json|ok", 2, "completed", None),
        ("wrong_schema", 2, "failed", "schema_mismatch"),
        ("fenced_json", 1, "completed", None),
        ("prose_json", 1, "completed", None),
        ("refusal", 1, "failed", "refused"),
        ("script=truncated|ok", 2, "completed", None),
        ("script=empty|ok", 2, "completed", None),
        ("http_400", 1, "failed", "invalid_request"),
        ("http_404", 1, "failed", "unknown_model"),
        ("http_401", 1, "failed", "authentication"),
        ("quota", 1, "failed", "quota_exhausted"),
        ("context_overflow", 1, "failed", "context_overflow"),
        ("script=http_500|ok", 2, "completed", None),
        ("script=http_529|ok", 2, "completed", None),
        ("script=http_502_html|ok", 2, "completed", None),
        ("script=cut|ok", 2, "completed", None),
        ("script=reset|ok", 2, "completed", None),
        ("script=non_json_200|ok", 2, "completed", None),
        ("script=http_429,retry_after_ms=200|ok", 1, "completed", None),
    ],
)
@pytest.mark.parametrize(("provider", "model"), LANES)
def test_every_fault_ends_as_it_should(
    table: Table,
    fleet: Fleet,
    provider: str,
    model: str,
    fault: str,
    attempts: int,
    status: str,
    code: str | None,
) -> None:
    row = table.insert(
        provider=provider,
        model=model,
        content=f"who? [[sim:{fault}]]",
        response_schema=SCHEMA,
        timeout_seconds=5,
    )
    assert fleet.drain() == 0
    end = table.request(row)
    assert (end["status"], end["error_code"], end["attempts"]) == (status, code, attempts), end[
        "error_message"
    ]
    if fault in ("fenced_json", "prose_json"):
        assert end["repairs"]
    if status == "failed":
        assert "\n" not in end["error_message"]


def test_cached_written_and_reasoning_tokens_are_billed_to_the_last_digit(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    for provider, model in LANES * 3:
        table.insert(provider=provider, model=model, content="again " * 400 + "[[sim:cached]]")
    assert fleet.drain() == 0
    total = table.one(
        "SELECT sum(cost_usd) AS usd, sum(cache_read_tokens) AS r, sum(reasoning_tokens) AS t FROM llm_requests"
    )
    assert total["usd"] == Decimal(simulator.ledger()["cost_usd"])
    assert total["r"] == simulator.ledger()["tokens"]["cache_read"]
    assert total["t"] == simulator.ledger()["tokens"]["reasoning"]


def test_a_call_that_is_cut_is_booked_at_its_bound_and_the_rest_is_the_bill(
    table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    row = table.insert(
        provider="openai", model="gpt-6-luna", content="x [[sim:script=cut|reset|ok]]", max_attempts=5
    )
    assert fleet.drain() == 0
    attempts = table.attempts(row)
    assert [a["cost_basis"] for a in attempts] == ["upper_bound", "upper_bound", "usage"]
    calls = simulator.calls()
    assert attempts[2]["cost_usd"] == Decimal(simulator.ledger()["delivered_cost_usd"])
    for attempt, call in zip(attempts, calls, strict=True):
        assert attempt["cost_usd"] >= Decimal(call["cost_usd"])


def test_a_hanging_call_times_out_at_its_own_limit(table: Table, fleet: Fleet) -> None:
    row = table.insert(
        provider="openai", model="gpt-6-luna", content="[[sim:hang]]", timeout_seconds=1, max_attempts=1
    )
    assert fleet.drain() == 0
    end = table.request(row)
    assert (end["status"], end["error_code"]) == ("failed", "provider_timeout")
    assert 900 <= table.attempts(row)[0]["latency_ms"] < 3000


def test_hostile_answers_and_schemas_do_not_hold_up_the_others(table: Table, fleet: Fleet) -> None:
    pattern = {"type": "object", "properties": {"text": {"type": "string", "pattern": "^(a+)+$"}}}
    slow = table.insert(
        provider="openai", model="gpt-6-luna", content="[[sim:pathological,length=50000]]", response_schema=pattern,
        max_attempts=1,
    )  # fmt: skip
    huge = table.insert(provider="openai", model="gpt-6-luna", content="[[sim:huge]]")
    null = table.insert(
        provider="openai", model="gpt-6-luna", content=r"[[sim:text=%7B%22a%22%3A%22x%5Cu0000y%22%7D]]"
    )
    others = [table.insert(provider="openai", model="gpt-6-luna", content=f"n {n}") for n in range(50)]
    assert fleet.drain() == 0
    assert table.request(slow)["error_code"] == "schema_mismatch"
    assert len(table.request(huge)["parsed_response"]) > 40_000
    assert table.request(null)["parsed_response"] == {"a": "x\ufffdy"}
    assert all(table.request(row)["status"] == "completed" for row in others)


@pytest.mark.parametrize(
    ("columns", "code", "says"),
    [
        ({"response_schema": {"type": "objekt"}}, "invalid_schema", "not a valid JSON Schema"),
        ({"response_schema": {"$ref": "https://example.org/schema"}}, "invalid_schema", "$ref"),
        ({"tools": [{"description": "nameless"}]}, "invalid_request", "name"),
        ({"params": {"base_url": "http://evil"}}, "invalid_request", "base_url"),
        ({"provider": "openai", "model": "nosuch-model"}, "unknown_model", "does not exist"),
        ({"provider": "opnai", "model": "gpt-6-luna"}, "unknown_model", "no running worker knows provider"),
        (
            {"provider": "local", "model": "rules", "task_type": "poetry"},
            "invalid_request",
            "local/rules cannot do",
        ),
    ],
)
def test_wrong_input_gives_one_clear_code_and_costs_nothing(
    table: Table, fleet: Fleet, simulator: Simulator, columns: dict[str, Any], code: str, says: str
) -> None:
    row = table.insert(**{"content": "hello", "provider": "openai", "model": "gpt-6-luna", **columns})
    assert fleet.drain() == 0
    end = table.request(row)
    assert (end["status"], end["error_code"]) == ("failed", code)
    assert says in end["error_message"]
    assert end["cost_usd"] == 0
    assert simulator.ledger()["billed_calls"] == 0


def test_without_a_key_rows_wait_and_the_worker_says_which_is_missing(table: Table, fleet: Fleet) -> None:
    row = table.insert(provider="anthropic", model="claude-haiku-5-5", content="hello")
    assert fleet.drain(ANTHROPIC_API_KEY="") == 1
    waiting = table.request(row)
    assert (waiting["status"], waiting["wait_reason"]) == ("pending", "no_worker")
    assert "ANTHROPIC_API_KEY" in waiting["error_message"]
    assert "ANTHROPIC_API_KEY" in fleet.logs()


def test_no_key_reaches_a_table_a_log_or_an_error(table: Table, fleet: Fleet) -> None:
    wrong = "sk-bad-9d8c7b6a5f"
    table.insert(provider="openai", model="gpt-6-luna", content="hello")
    table.insert(provider="anthropic", model="claude-haiku-5-5", content="hello")
    table.insert(provider="openai", model="gpt-6-luna", content="x [[sim:http_500]]", max_attempts=1)
    assert fleet.drain(OPENAI_API_KEY=wrong, ANTHROPIC_API_KEY=wrong) == 0
    assert table.count("error_code = 'authentication'") >= 2
    tables = [
        row["t"] for row in table.all("SELECT tablename AS t FROM pg_tables WHERE schemaname = 'public'")
    ]
    stored = "\n".join(
        str(table.one(f'SELECT coalesce(string_agg(t::text, chr(10)), $$$$) AS all FROM "{name}" t')["all"])
        for name in tables
    )
    assert "Incorrect API key provided" in stored
    for place in (stored, fleet.logs()):
        for key in (wrong, wrong[6:], "sk-test-openai", "sk-ant-test"):
            assert key not in place
