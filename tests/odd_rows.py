"""Rows as no trigger of ours lets them in: made before it was there, restored from a dump, edited by a superuser."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Json

from llmreq.database.timestamps import EARLIEST, LATEST
from tests.engine.queue import Queue

MOMENTS = ("created_at", "scheduled_at", "expires_at", "claimed_at", "completed_at", "updated_at")
"""Columns of llm_requests that anybody may have filled with anything."""

READ = {"infinity": LATEST, "-infinity": EARLIEST, "294276-01-01": LATEST, "4713-01-01 BC": EARLIEST}
"""What no datetime can hold, and what it is read as."""


def odd_request(queue: Queue, **columns: Any) -> UUID:
    """A request with exactly these columns."""
    given = {"id": uuid4(), "provider": "mine", "model": "m", "lane": "mine/m", "content": "x", **columns}
    values = [Json(value) if isinstance(value, dict | list) else value for value in given.values()]
    marks = ", ".join(["%s"] * len(given))
    unguarded(queue, f"INSERT INTO llm_requests ({', '.join(given)}) VALUES ({marks})", *values)
    return UUID(str(given["id"]))


def unguarded(queue: Queue, statement: str, *parameters: Any) -> None:
    """Run a statement past all triggers."""
    queue.run("SET session_replication_role = replica")
    queue.run(statement, *parameters)
    queue.run("SET session_replication_role = origin")
