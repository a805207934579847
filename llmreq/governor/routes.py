"""Which lanes a request without a model may go to: rows of `llm_routes`, the most specific one wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from llmreq.database.ask import Row, ask
from llmreq.errors import InvalidRequestError
from llmreq.governor.lanes import split_lane


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
    if not 1 <= len(candidates) <= 20:
        raise InvalidRequestError("a route has 1 to 20 candidates")
    lanes = ["/".join(split_lane(candidate)) for candidate in candidates]
    match = {"task_type": task_type or None, "complexity": complexity or None, "quality": quality or None}
    return int(ask(connection, "set_route", **match, candidates=lanes, note=note)[0]["id"])


def remove_route(connection: psycopg.Connection[Any], id: int) -> None:
    """Delete a route; requests on it stay in their lanes. Raises InvalidRequestError when there is none."""
    if not ask(connection, "remove_route", id=id):
        raise InvalidRequestError(f"there is no route {id}: see llmreq routes list")
