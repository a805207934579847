"""A conversation with tools, each turn a row: ask, call what the model asks for, ask again with the results."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from llmreq.check.decode import storable_text
from llmreq.errors import InvalidRequestError
from llmreq.producer.plain_types import MisfitError
from llmreq.producer.request import Request
from llmreq.producer.step import Invoke, Steps
from llmreq.producer.steps import enqueue
from llmreq.producer.typed import parameters_type
from llmreq.producer.waiting import Watch, wait_all

Functions: TypeAlias = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A conversation that has ended. `request` is its last turn; `ids` are all turns, the first one first.

    `cost_usd` is the sum over the turns, None when one's is unknown.
    """

    request: Request
    ids: tuple[UUID, ...]
    cost_usd: Decimal | None

    @property
    def answered(self) -> bool:
        """Whether it ended with an answer: not failed, and not still asking for tools after the last turn."""
        return self.request.status == "completed" and not self.request.tool_calls


@dataclass(frozen=True, slots=True)
class Tool:
    """A function and how its arguments are read. `read` raises MisfitError or TypeError."""

    function: Callable[..., Any]
    read: Callable[[Mapping[str, Any]], Mapping[str, Any]]


def run_tools(
    watch: Watch, request: Mapping[str, Any], functions: Functions, max_turns: int, timeout_seconds: float
) -> Steps[ToolRun]:
    """Turns until one is a final answer, fails, or is the last; the time is for all of them together."""
    if max_turns < 1:
        raise InvalidRequestError(f"max_turns must be 1 or more, not {max_turns}")
    until = time.monotonic() + timeout_seconds
    definitions, tools = offered(functions, request.get("tools"))
    columns = {**request, "tools": definitions, "run_id": request.get("run_id") or uuid4()}
    turns: list[Request] = []
    while True:
        id = yield from enqueue(columns)
        turns += yield from wait_all(watch, [id], max(0.0, until - time.monotonic()))
        if not turns[-1].tool_calls or len(turns) == max_turns:
            return _ended(turns)
        results = yield from _results(turns[-1].tool_calls, tools)
        columns = _next_turn(columns, turns[-1], results, len(turns) + 1)


def offered(functions: Functions, given: Sequence[Any] | None) -> tuple[list[Any], dict[str, Tool]]:
    """The tools' definitions, and what to call for each.

    Given definitions stand as they are, and their functions get JSON values. Without them a function's name,
    docstring and annotations are its definition, and it gets what its annotations say.
    """
    if given is not None:
        return list(given), {name: Tool(each, _bound(each)) for name, each in functions.items()}
    definitions, tools = [], {}
    for name, function in functions.items():
        try:
            parameters = parameters_type(function)
        except InvalidRequestError as problem:
            raise InvalidRequestError(
                f"tool {name}: {problem.message}; or give its definition in tools"
            ) from None
        described = (inspect.getdoc(function) or "").partition("\n\n")[0]
        definitions.append({"name": name, "description": described, "parameters": parameters.schema})
        tools[name] = Tool(function, parameters.read)
    return definitions, tools


def all_blocking(functions: Functions) -> Functions:
    """The functions, or InvalidRequestError when one of them must be awaited."""
    for name, function in functions.items():
        if inspect.iscoroutinefunction(function):
            raise InvalidRequestError(f"tool {name} is asynchronous: use AsyncClient")
    return functions


def _bound(function: Callable[..., Any]) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    def read(params: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            signature = inspect.signature(function)
        except ValueError:  # some built-in functions have none
            return params
        signature.bind(**params)
        return params

    return read


def _results(calls: Sequence[Mapping[str, Any]], tools: Mapping[str, Tool]) -> Steps[list[dict[str, Any]]]:
    """One tool message for each call, in order; what went wrong is told to the model."""
    messages = []
    for call in calls:
        content = yield from _result(call, tools)
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": storable_text(content)[0]})
    return messages


def _result(call: Mapping[str, Any], tools: Mapping[str, Tool]) -> Steps[str]:
    tool = tools.get(call["tool_name"])
    if tool is None:
        return f"error: there is no tool {call['tool_name']}; there are: {', '.join(tools) or 'none'}"
    try:
        arguments = tool.read(call["params"] or {})
    except (MisfitError, TypeError) as problem:
        return f"error: the arguments do not fit: {problem}"
    (row,) = yield Invoke(tool.function, arguments)
    try:
        if "error" in row:
            return f"error: {type(row['error']).__name__}: {row['error']}"
        return _as_text(row["value"])
    except Exception as problem:  # its own __str__ may do anything
        return f"error: the result cannot be told: {type(problem).__name__}"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_as_json)


def _as_json(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # a Pydantic model
        return value.model_dump(mode="json")
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    return list(value) if isinstance(value, set | frozenset) else str(value)


def _next_turn(
    columns: Mapping[str, Any], ended: Request, results: Sequence[dict[str, Any]], number: int
) -> dict[str, Any]:
    """The next row: the whole conversation as the last row had it, the model's calls, and their results."""
    asked = ended.messages if ended.messages is not None else [{"role": "user", "content": ended.content}]
    said: dict[str, Any] = {"role": "assistant", "tool_calls": ended.tool_calls}
    if ended.parsed_response["final_response"] is not None:
        said["content"] = _as_text(ended.parsed_response["final_response"])
    turn = {**columns, "messages": [*asked, said, *results], "content": None, "id": None}
    turn["run_id"] = ended.run_id or columns["run_id"]  # an earlier run's, if a dedupe_key found its row
    if columns.get("dedupe_key") is not None:
        first = str(columns["dedupe_key"]).removesuffix(f" turn {number - 1}")
        turn["dedupe_key"] = f"{first} turn {number}"
    if columns.get("tool_choice") not in (None, "auto", "none"):
        turn["tool_choice"] = None  # forced for ever, it could never answer
    return turn


def _ended(turns: Sequence[Request]) -> ToolRun:
    costs = [turn.cost_usd for turn in turns]
    known = [cost for cost in costs if cost is not None]
    return ToolRun(
        turns[-1],
        tuple(turn.id for turn in turns),
        sum(known, Decimal(0)) if len(known) == len(costs) else None,
    )
