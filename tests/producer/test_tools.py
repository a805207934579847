from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from llmreq import AsyncClient, Client, InvalidRequestError
from llmreq.producer.tool_loop import ToolRun, offered
from tests.engine.queue import HELLO, Queue
from tests.producer.conftest import ScriptedModel
from tests.producer.test_client import LUNA

Model = Callable[..., ScriptedModel]


def calls(*wanted: tuple[str, dict[str, Any]], said: Any = None) -> dict[str, Any]:
    """An answer that asks for tools."""
    listed = [
        {"id": f"call_{n}", "tool_name": name, "params": params} for n, (name, params) in enumerate(wanted)
    ]
    return {"response": "", "parsed_response": {"tool_calls": listed, "final_response": said}}


def tide_at(hour: int) -> dict[str, float]:
    """Height in metres.

    Not for navigation.
    """
    return {"metres": hour / 10}


def breaks(hour: int = 0) -> None:
    raise KeyError("no\0tide")


FINAL = {"response": "1.5 metres"}


def test_tools_are_called_until_there_is_an_answer(client: Client, model: Model, queue: Queue) -> None:
    price = "INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)"
    queue.run(f"{price} VALUES ('openai', 'gpt-6-luna', now() - interval '1 hour', 1, 2, 'test')")
    answers = (calls(("tide_at", {"hour": 15}), ("tide_at", {"hour": 3}), said="Let me look."), FINAL)
    with model(*answers) as worker:
        run = client.run_tools({**LUNA, "tenant_id": "acme"}, {"tide_at": tide_at}, timeout_seconds=20)
    first, second = worker.asked
    assert first["tools"] == [
        {
            "name": "tide_at",
            "description": "Height in metres.",
            "parameters": offered({"t": tide_at}, None)[0][0]["parameters"],
        }
    ]
    assert second["messages"] == [
        *HELLO,
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": answers[0]["parsed_response"]["tool_calls"],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": '{"metres": 1.5}'},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"metres": 0.3}'},
    ]
    assert (run.answered, run.request.response) == (True, "1.5 metres")
    assert run.ids == (first["id"], second["id"])
    assert first["run_id"] == second["run_id"] is not None
    assert {first["tenant_id"], second["tenant_id"]} == {"acme"}
    assert run.cost_usd == 2 * Decimal("0.00012")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("breaks", {}), "error: KeyError: 'no\\x00tide'"),
        (("tide_at", {"hour": "three"}), "error: the arguments do not fit: hour: "),
        (("tide_at", {"minute": 3}), "error: the arguments do not fit: hour: "),
        (("moon", {}), "error: there is no tool moon; there are: tide_at, breaks, odd"),
        (("odd", {}), "a\ufffdb"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(
    client: Client, model: Model, call: tuple[str, dict[str, Any]], told: str
) -> None:
    tools = {"tide_at": tide_at, "breaks": breaks, "odd": lambda: "a\0b"}
    with model(calls(call), FINAL) as worker:
        assert client.run_tools(LUNA, tools, timeout_seconds=20).answered
    assert worker.asked[1]["messages"][-1]["content"].startswith(told)


def test_given_definitions_stand_and_misfitting_arguments_are_told(client: Client, model: Model) -> None:
    definition = {"name": "tide_at", "parameters": {"type": "object"}}
    request = {**LUNA, "tools": [definition], "tool_choice": "required"}
    with model(calls(("tide_at", {"day": 1})), FINAL) as worker:
        client.run_tools(request, {"tide_at": tide_at}, timeout_seconds=20)
    first, second = worker.asked
    assert first["tools"] == second["tools"] == [definition]
    assert second["messages"][-1]["content"] == (
        "error: the arguments do not fit: missing a required argument: 'hour'"
    )
    assert (first["tool_choice"], second["tool_choice"]) == ("required", None)


def test_the_last_turn_is_the_last(client: Client, model: Model) -> None:
    run_id = uuid4()
    called: list[int] = []
    request = {"content": "hi", "provider": "openai", "model": "gpt-6-luna", "run_id": run_id}
    with model(*[calls(("note", {"n": 1}))] * 2):
        run = client.run_tools(request, {"note": lambda n: called.append(n)}, max_turns=2, timeout_seconds=20)
    assert (run.answered, len(run.ids), run.request.run_id) == (False, 2, run_id)
    assert run.request.messages is not None
    assert run.request.messages[0] == {"role": "user", "content": "hi"}
    assert run.request.tool_calls[0]["tool_name"] == "note"
    assert called == [1]


def test_a_turn_that_fails_ends_the_run_with_an_unknown_cost_unknown(client: Client, model: Model) -> None:
    request = {"messages": HELLO, "provider": "openai", "model": "nobodys-model"}
    with model(calls(("tide_at", {"hour": 1})), {"outcome": "refused", "error_message": "no"}):
        run = client.run_tools(request, {"tide_at": tide_at}, timeout_seconds=20)
    assert (run.answered, run.request.error_code, len(run.ids)) == (False, "refused", 2)
    assert run.cost_usd is None


def test_a_run_with_a_dedupe_key_goes_on_where_an_earlier_one_was(client: Client, model: Model) -> None:
    request = {**LUNA, "dedupe_key": "tides"}
    with model(calls(("tide_at", {"hour": 1})), calls(("tide_at", {"hour": 2})), FINAL) as worker:
        first = client.run_tools(request, {"tide_at": tide_at}, timeout_seconds=20)
    again = client.run_tools(request, {"tide_at": tide_at}, timeout_seconds=20)
    assert again == first
    assert [row["dedupe_key"] for row in worker.asked] == ["tides", "tides turn 2", "tides turn 3"]


@dataclass
class Height:
    metres: float


def test_the_asyncio_client_calls_both_kinds_of_functions(database: str, model: Model) -> None:
    async def later(hour: int) -> Height:
        await asyncio.sleep(0)
        return Height(hour / 10)

    async def fails() -> None:
        raise RuntimeError("gone")

    later.__annotations__ = {"hour": int}

    async def scene() -> ToolRun:
        async with AsyncClient(database) as client:
            tools = {"tide_at": tide_at, "later": later, "fails": fails}
            return await client.run_tools(LUNA, tools, timeout_seconds=20)

    with model(calls(("tide_at", {"hour": 1}), ("later", {"hour": 2}), ("fails", {})), FINAL) as worker:
        assert asyncio.run(scene()).answered
    told = [message["content"] for message in worker.asked[1]["messages"][-3:]]
    assert told == ['{"metres": 0.1}', '{"metres": 0.2}', "error: RuntimeError: gone"]


def test_what_cannot_work_is_refused_before_anything_is_spent(client: Client) -> None:
    async def later() -> None: ...

    def positional(hour: int, /) -> None: ...

    for tools, turns, problem in [
        ({"later": later}, 8, "later is asynchronous"),
        ({"tide": positional}, 8, "tool tide: its parameter hour cannot be given by name"),
        ({"tide": lambda hour: hour}, 0, "max_turns must be 1 or more"),
    ]:
        with pytest.raises(InvalidRequestError, match=problem):
            client.run_tools(LUNA, tools, max_turns=turns, timeout_seconds=0)
    assert client.list() == []
