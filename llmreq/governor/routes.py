"""Which lanes a request without a model may go to: rows of `llm_routes`, the most specific one wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from llmreq.database.ask import Row, ask
from llmreq.errors import InvalidRequestError
from llmreq.governor.bounds import require_bytes
from llmreq.governor.lanes import split_lane
from llmreq.limits import LABEL_BYTES, MAX_CANDIDATES, MAX_ROUTED_MODEL_CHARS


def list_routes(connection: psycopg.Connection[Any]) -> list[Row]:
    """All routes; `served` holds the candidates that a live worker can call now."""
    return ask(connection, "list_routes")


def set_route(
    connection: psycopg.Connection[Any],
    candidates: Sequence[str],
    *,
    task_type: str | None = None,
    complexity: str | None = None,
    quality: str | None = None,
    note: str | None = None,
) -> int:
    """Make the route for exactly this combination, or replace its candidates; returns its id.

    A part that is None matches every request. Raises InvalidRequestError.
    """
    if not 1 <= len(candidates) <= MAX_CANDIDATES:
        raise InvalidRequestError(f"a route has 1 to {MAX_CANDIDATES} candidates")
    lanes = ["/".join(_candidate(each)) for each in candidates]
    require_bytes("the task type", task_type or "", LABEL_BYTES["task_type"])
    match = {"task_type": task_type or None, "complexity": complexity or None, "quality": quality or None}
    return int(ask(connection, "set_route", **match, candidates=lanes, note=note)[0]["id"])


def _candidate(lane: str) -> tuple[str, str]:
    provider, model = split_lane(lane)
    if len(model) > MAX_ROUTED_MODEL_CHARS or not lane.strip().isprintable():
        raise InvalidRequestError(
            f"{lane[:60]!r} is no candidate: its model is longer than {MAX_ROUTED_MODEL_CHARS} characters,"
            " or it holds some that cannot be printed"
        )
    return provider, model


def remove_route(connection: psycopg.Connection[Any], id: int) -> None:
    """Delete a route; requests on it stay in their lanes. Raises InvalidRequestError when there is none."""
    if not ask(connection, "remove_route", id=id):
        raise InvalidRequestError(f"there is no route {id}: see llmreq routes list")
