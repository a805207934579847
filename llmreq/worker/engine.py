"""The worker's side of the SQL protocol: each function here calls the SQL function of the same name and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import args_row, dict_row, tuple_row
from psycopg.types.json import set_json_loads

from llmreq.database.connection import loads_exactly
from llmreq.database.statements import statement
from llmreq.limits import INLINE_REQUEST_BYTES
from llmreq.worker.large_json import LargeJson

Shape = TypeVar("Shape")

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

    def __repr__(self) -> str:
        """The claim's names: a payload never reaches a log, not even by asyncio's."""
        return f"Claim({self.id}, {self.claim_seq}, {self.lane!r})"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a JSON value that cannot be decoded, so that its row alone fails (invariant 11)."""

    reason: str


class Read(NamedTuple):
    """One row of `read_claims.sql`. Where the payload is not `here`, because it has more bytes than asked for, only its size is.

    A JSON value that cannot be decoded is an `Unreadable`, a large one stays as it is: a `LargeJson`.
    """

    payload_bytes: int
    here: bool
    claim: Claim


class ReadDocument(NamedTuple):
    """One row of `read_documents.sql`: what stands behind a claim of an agent, a page or a document."""

    id: UUID
    document_bytes: int
    here: bool
    response_schema: Any
    document: Any

    def __repr__(self) -> str:
        return f"ReadDocument({self.id})"


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


async def claim(
    connection: psycopg.AsyncConnection[Any], worker_id: int, limit: int, skip: Sequence[UUID] = ()
) -> list[Taken]:
    """Claim up to `limit` due requests, none of `skip`. Raises psycopg.Error with sqlstate `FENCED` when the lease has ended."""
    return await _rows(connection, Taken, _CLAIM, (worker_id, limit, list(skip)))


async def claim_apart(
    connection: psycopg.AsyncConnection[Any], worker_id: int, limit: int, skip: Sequence[UUID]
) -> tuple[list[Taken], list[UUID]]:
    """Like `claim`, row by row, for when a row made that raise; also returns the requests that can neither be claimed nor
    failed, as where a user's trigger raises on every update."""
    rows = await _rows(connection, Taken, _CLAIM_APART, (worker_id, limit, list(skip)))
    return [row for row in rows if row.claim_seq is not None], [
        row.id for row in rows if row.claim_seq is None
    ]


async def my_claims(connection: psycopg.AsyncConnection[Any], worker_id: int) -> list[Taken]:
    """Every claim that Postgres holds for this worker."""
    return await _rows(connection, Taken, _MY_CLAIMS, {"worker_id": worker_id})


async def read(
    connection: psycopg.AsyncConnection[Any], taken: Sequence[Taken], most_bytes: int
) -> list[Read]:
    """The payload of claimed requests, as far as one has at most `most_bytes`: what they ask now that nobody can edit them.

    A claim that fell to rescue is left out.
    """
    parameters = {
        "ids": [each.id for each in taken],
        "claim_seqs": [each.claim_seq for each in taken],
        "caps": [each.max_output_tokens for each in taken],
        "most_bytes": most_bytes,
    }
    return await _rows(connection, _as_read, _READ, parameters, has_json=True)


async def read_documents(
    connection: psycopg.AsyncConnection[Any], ids: Sequence[UUID], most_bytes: int
) -> dict[UUID, ReadDocument]:
    """Asked apart, because most claims have nothing behind them."""
    parameters = {"ids": list(ids), "most_bytes": most_bytes}
    rows = await _rows(connection, ReadDocument, _READ_DOCUMENTS, parameters, has_json=True)
    return {row.id: row for row in rows}


async def finish(
    connection: psycopg.AsyncConnection[Any], worker_id: int, outcomes: Sequence[bytes]
) -> list[Settled]:
    """Settle outcomes, each one JSON object as `llmreq_finish` takes them. One whose request's row somebody else has locked is
    not in the result. Raises LockNotAvailable where a lane, budget or document is locked: see `blocked`."""
    return await _rows(connection, Settled, _FINISH, (worker_id, b"[" + b",".join(outcomes) + b"]"))


async def blocked(connection: psycopg.AsyncConnection[Any], ids: Sequence[UUID]) -> set[UUID]:
    """Which of these requests cannot be settled now without waiting for somebody's lock. Waits for none itself."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute("SELECT llmreq_blocked(%b::uuid[])", (list(ids),))
        row = await cursor.fetchone()
        return set(row[0] or ()) if row else set()


def _as_read(payload_bytes: int, here: bool, *claim: Any) -> Read:
    return Read(payload_bytes, here, Claim(*claim))


def _decoded(data: str | bytes) -> Any:
    if len(data) > INLINE_REQUEST_BYTES:  # a process beside decodes it: here it would hold up every call
        return LargeJson(data.encode() if isinstance(data, str) else bytes(data))
    try:
        return loads_exactly(data)
    except RecursionError:
        return Unreadable("it nests too deep")
    except ValueError as error:
        # What the parser found, without where, and without the place's own words.
        return Unreadable(str(error).partition(": line")[0])


async def _rows(
    connection: psycopg.AsyncConnection[Any],
    shape: Callable[..., Shape],
    query: str,
    parameters: Any,
    *,
    has_json: bool = False,
) -> list[Shape]:
    """In binary, where no DateStyle and no other setting of a session changes what a value looks like.

    Each JSON value is decoded on its own: one that cannot be is an `Unreadable`.
    """
    async with connection.cursor(binary=True, row_factory=args_row(shape)) as cursor:
        if (
            has_json
        ):  # only then: it copies every loader there is, which a poll ten times a second would notice
            set_json_loads(_decoded, cursor)
        await cursor.execute(query, parameters)
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


_CLAIM = f"SELECT {', '.join(Taken._fields)} FROM llmreq_claim(%s, %s, %b::uuid[])"  # noqa: S608
_CLAIM_APART = f"SELECT {', '.join(Taken._fields)} FROM llmreq_claim_apart(%s, %s, %b::uuid[])"  # noqa: S608
_FINISH = "SELECT id, claim_seq, accepted, status FROM llmreq_finish(%s, convert_from(%b, 'UTF8')::json)"
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
