"""The worker's side of the SQL protocol: each function here calls the SQL function of the same name and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import args_row, dict_row, tuple_row

from llmreq.database.statements import statement

FENCED = "LQ001"
"""SQLSTATE of a claim by a worker whose lease has ended."""


class Taken(NamedTuple):
    """One row of what `llmreq_claim` returns. `(id, claim_seq, claimed_at)` names the claim for ever."""

    id: UUID
    claim_seq: int
    claimed_at: datetime
    lane: str
    tenant_id: str
    attempt: int
    max_output_tokens: int
    priced: bool
    documented: bool


class Claim(NamedTuple):
    """One claimed request with its payload, ready to be called. `document`: of an agent's request, a page or a document, what
    `read_documents.sql` says of it; else None."""

    id: UUID
    claim_seq: int
    claimed_at: datetime
    lane: str
    max_output_tokens: int
    provider: str
    model: str
    kind: str
    task_type: str
    timeout_seconds: int
    allow_text: bool
    messages: Any
    content: str | None
    response_schema: Any
    tools: Any
    tool_choice: Any
    params: Any
    last_response: str | None
    last_errors: Any
    document: Any = None


class Settled(NamedTuple):
    """One row of what `llmreq_finish` returns. `status` is None when the request is gone."""

    id: UUID
    claim_seq: int
    accepted: bool
    status: str | None


class Left(NamedTuple):
    """What a draining worker still sees: `llmreq_left`."""

    running: int
    movable: int
    later: int
    stuck: int


async def claim(connection: psycopg.AsyncConnection[Any], worker_id: int, limit: int) -> list[Taken]:
    """Claim up to `limit` due requests. Raises psycopg.Error with sqlstate `FENCED` when the lease has ended."""
    async with connection.cursor(row_factory=args_row(Taken)) as cursor:
        await cursor.execute(_CLAIM, (worker_id, limit))
        return await cursor.fetchall()


async def my_claims(connection: psycopg.AsyncConnection[Any], worker_id: int) -> list[Taken]:
    """Every claim that Postgres holds for this worker."""
    async with connection.cursor(row_factory=args_row(Taken)) as cursor:
        await cursor.execute(_MY_CLAIMS, {"worker_id": worker_id})
        return await cursor.fetchall()


async def read(connection: psycopg.AsyncConnection[Any], taken: Sequence[Taken]) -> list[Claim]:
    """The payload of claimed requests: what they ask now that nobody can edit them. A claim that fell to rescue is left out."""
    async with connection.cursor(row_factory=args_row(Claim)) as cursor:
        await cursor.execute(
            _READ,
            {
                "ids": [each.id for each in taken],
                "claim_seqs": [each.claim_seq for each in taken],
                "caps": [each.max_output_tokens for each in taken],
            },
        )
        claims = await cursor.fetchall()
    documented = [each.id for each in taken if each.documented]
    return await _with_documents(connection, claims, documented) if documented else claims


async def _with_documents(
    connection: psycopg.AsyncConnection[Any], claims: list[Claim], ids: list[UUID]
) -> list[Claim]:
    """Asked apart, because most claims have nothing behind them."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_READ_DOCUMENTS, {"ids": ids})
        found = {id: (schema, document) for id, schema, document in await cursor.fetchall()}
    return [
        claim._replace(response_schema=found[claim.id][0], document=found[claim.id][1])
        if claim.id in found
        else claim
        for claim in claims
    ]


async def finish(
    connection: psycopg.AsyncConnection[Any], worker_id: int, outcomes: Sequence[bytes]
) -> list[Settled]:
    """Settle outcomes, each one JSON object as `llmreq_finish` takes them."""
    async with connection.cursor(row_factory=args_row(Settled)) as cursor:
        await cursor.execute(
            "SELECT id, claim_seq, accepted, status FROM llmreq_finish(%s, %s::json)",
            (worker_id, (b"[" + b",".join(outcomes) + b"]").decode()),
        )
        return await cursor.fetchall()


async def housekeep(connection: psycopg.AsyncConnection[Any], name: str) -> int:
    """One turn of `llmreq_<name>` with its own bounds: rescue, sweep_orphans, expire, explain_waiting, tidy, …"""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_HOUSEKEEPING[name])
        row = await cursor.fetchone()
        return int(row[0]) if row else 0


async def announce_events(connection: psycopg.AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Events that nobody has logged yet; each goes to one worker of the fleet only."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("SELECT kind, subject, message, details FROM llmreq_announce_events()")
        return await cursor.fetchall()


async def has_doorbell(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether inserts ring while a worker is idle."""
    row = await (await connection.execute("SELECT llmreq_has_doorbell()")).fetchone()
    return bool(row and row[0])


async def set_idle(connection: psycopg.AsyncConnection[Any], worker_id: int, idle: bool) -> None:
    """Say that this worker has nothing to do, or has."""
    await connection.execute("SELECT llmreq_set_idle(%s, %s)", (worker_id, idle))


async def left(connection: psycopg.AsyncConnection[Any]) -> Left:
    """What is still open in the whole queue."""
    async with connection.cursor(row_factory=args_row(Left)) as cursor:
        await cursor.execute("SELECT running, movable, later, stuck FROM llmreq_left()")
        row = await cursor.fetchone()
        assert row is not None  # an aggregate always has a row
        return row


async def register(
    connection: psycopg.AsyncConnection[Any],
    *,
    name: str,
    version: str,
    providers: Sequence[str],
    unusable: dict[str, str],
    concurrency: int,
    lease_seconds: float,
) -> int:
    """Make this process's worker row; returns its id, which no other boot ever gets."""
    cursor = await connection.execute(
        "SELECT llmreq_register(%s, %s, %s, %s::jsonb, %s, make_interval(secs => %s))",
        (name, version, list(providers), orjson.dumps(unusable).decode(), concurrency, lease_seconds),
    )
    row = await cursor.fetchone()
    assert row is not None  # RETURNING always has a row
    return int(row[0])


async def heartbeat(
    connection: psycopg.AsyncConnection[Any], worker_id: int, in_flight: int, state: str
) -> tuple[bool, list[UUID]]:
    """Renew the lease; returns whether it stands, and the requests to cancel."""
    cursor = await connection.execute(
        "SELECT alive, cancelled FROM llmreq_heartbeat(%s, %s, %s)", (worker_id, in_flight, state)
    )
    row = await cursor.fetchone()
    assert row is not None  # RETURN NEXT always gives a row
    return bool(row[0]), list(row[1])


async def retire(connection: psycopg.AsyncConnection[Any], worker_id: int) -> bool:
    """Take this worker's row away; False when requests of it are left to rescue."""
    row = await (await connection.execute("SELECT llmreq_retire(%s)", (worker_id,))).fetchone()
    return bool(row and row[0])


_CLAIM = f"SELECT {', '.join(Taken._fields)} FROM llmreq_claim(%s, %s)"  # noqa: S608
_READ = statement("read_claims")
_READ_DOCUMENTS = statement("read_documents")
_MY_CLAIMS = statement("my_claims")
_HOUSEKEEPING = {
    "rescue": "SELECT llmreq_rescue()",
    "sweep_orphans": "SELECT llmreq_sweep_orphans()",
    "expire": "SELECT llmreq_expire()",
    "explain_waiting": "SELECT llmreq_explain_waiting()",
    "tidy": "SELECT llmreq_tidy()",
    "learn": "SELECT llmreq_learn()",
    "sweep_pages": "SELECT llmreq_sweep_pages()",
    "sweep_lanes": "SELECT llmreq_sweep_lanes()",
    "ensure_partitions": "SELECT llmreq_ensure_partitions()",
}
