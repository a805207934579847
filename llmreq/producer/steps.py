"""What every client method does, as generators that do no I/O: they yield steps and are sent the rows.

`Client` and `AsyncClient` drive the same generators (drive.py), so there is one logic for both.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from llmreq.errors import InvalidRequestError
from llmreq.limits import COPY_TRIES, RETRY_BATCH
from llmreq.producer.columns import Value, checked
from llmreq.producer.request import Request
from llmreq.producer.step import Copy, Query, Row, Steps, sql_of


def enqueue(columns: Mapping[str, Any]) -> Steps[UUID]:
    """INSERT one request; with a dedupe_key that exists, the id of the request that has it."""
    values = checked(columns)
    names = list(values)
    text = sql_of("enqueue").format(
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(map(sql.Placeholder, names)),
    )
    for _ in range(COPY_TRIES):
        rows = yield Query(text, values)
        if not rows:  # the key exists
            rows = yield _by_dedupe_key([_dedupe(values)])
        if rows:
            return UUID(str(rows[0]["id"]))
    raise _hidden(str(values["dedupe_key"]))


def enqueue_many(requests: Iterable[Mapping[str, Any]]) -> Steps[list[UUID]]:
    """COPY requests, all or none; ids in the order given, one id for each dedupe_key."""
    rows = [_checked_at(place, columns) for place, columns in enumerate(requests)]
    if not rows:
        return []
    # This query also begins the transaction of a borrowed connection: a COPY that came first would commit alone.
    (new,) = yield Query(sql_of("new_id"), {})
    ids = [_chosen(row, id) for row, id in zip(rows, _ids_like(new["id"], len(rows)), strict=True)]
    # COPY does not see its own earlier rows: the first with a key stands for all of them.
    first: dict[tuple[str, str], dict[str, Value]] = {}
    for row in rows:
        if "dedupe_key" in row:
            first.setdefault(_dedupe(row), row)
    copy = Copy(_grouped([row for row in rows if "dedupe_key" not in row or first[_dedupe(row)] is row]))
    for left in reversed(range(COPY_TRIES)):
        try:
            yield copy
            break
        except (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected) as error:
            # Another session inserted one of the keys meanwhile: now the trigger sees it and passes over it.
            if not left or error.diag.constraint_name == "llm_requests_pkey":
                raise
    if not first:
        return ids
    found = yield _by_dedupe_key(list(first))
    known = {(each["tenant_id"], each["dedupe_key"]): each["id"] for each in found}
    if hidden := set(first) - set(known):
        raise _hidden(min(hidden)[1])
    return [known[_dedupe(row)] if "dedupe_key" in row else id for row, id in zip(rows, ids, strict=True)]


def get(id: UUID) -> Steps[Request]:
    """One request. Raises InvalidRequestError when there is none."""
    return (yield from get_many([id]))[0]


def get_many(ids: Sequence[UUID]) -> Steps[list[Request]]:
    """Requests in the order of their ids. Raises InvalidRequestError when one does not exist."""
    rows = {row["id"]: row for row in (yield Query(sql_of("get_requests"), {"ids": list(ids)}))}
    all_exist(ids, rows)
    return [Request.from_row(rows[id]) for id in ids]


def all_exist(ids: Iterable[UUID], known: Iterable[UUID]) -> None:
    """Raise InvalidRequestError naming one of the ids that are not known."""
    missing = set(ids) - set(known)
    if missing:
        raise InvalidRequestError(f"request {min(missing)} does not exist (has its INSERT been committed?)")


def listing(
    status: str | None,
    tenant_id: str | None,
    task_type: str | None,
    before: UUID | None,
    limit: int,
    *,
    pages: bool = False,
) -> Steps[list[Request]]:
    """The newest requests first, `pages` of documents among them or not; `before` is the last id of the list before."""
    filters = {"status": status, "tenant_id": tenant_id, "task_type": task_type, "before": before}
    rows = yield Query(sql_of("list_requests"), {**filters, "limit": limit, "pages": pages})
    return [Request.from_row(row) for row in rows]


def cancel(id: UUID) -> Steps[str]:
    """Ask for a request's end; its status after that: `processing` until its worker has cut the call."""
    return (yield from _status_after("cancel", id))


def retry(id: UUID) -> Steps[str]:
    """Begin a failed or cancelled request again; its status after that."""
    return (yield from _status_after("retry", id))


def retry_failed(error_code: str | None, tenant_id: str | None) -> Steps[list[UUID]]:
    """Begin every failed request again that can be sent, in batches; the ids that are pending now."""
    after, retried = UUID(int=0), list[UUID]()
    while True:
        filters = {"after": after, "error_code": error_code, "tenant_id": tenant_id, "limit": RETRY_BATCH}
        rows = yield Query(sql_of("retry_failed"), filters)
        retried += [row["id"] for row in rows if row["status"] == "pending"]
        if len(rows) < RETRY_BATCH:
            return retried
        after = rows[-1]["id"]


def find(text: str) -> Steps[UUID]:
    """The id that `text` names: a whole UUID, or 8 or more hex digits that begin or end exactly one."""
    digits = text.strip().lower().replace("-", "")
    if not 8 <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        raise InvalidRequestError(
            f"{text!r} is no request id: give the UUID, or 8 or more of its first or last digits"
        )
    if len(digits) == 32:
        return UUID(digits)
    bounds = {"low": UUID(digits.ljust(32, "0")), "high": UUID(digits.ljust(32, "f"))}
    rows = yield Query(sql_of("find_by_prefix"), bounds)
    if not rows:
        rows = yield Query(sql_of("find_by_suffix"), {"length": len(digits), "suffix": digits})
    if len(rows) != 1:
        problem = "names more than one request: give more digits" if rows else "names no request"
        raise InvalidRequestError(f"{text} {problem}")
    return UUID(str(rows[0]["id"]))


def refused(ids: Sequence[UUID]) -> Steps[dict[UUID, str]]:
    """Which of these new requests ended on arrival, and why: `code: message` by id."""
    rows = yield Query(sql_of("refused_on_arrival"), {"ids": list(ids)})
    return {row["id"]: f"{row['error_code']}: {row['error_message']}" for row in rows}


def attempts(id: UUID) -> Steps[list[Row]]:
    """The request's calls from the ledger, oldest first."""
    return (yield Query(sql_of("attempts_of"), {"id": id}))


def pages(id: UUID) -> Steps[list[Row]]:
    """The pages of a document, in order."""
    return (yield Query(sql_of("pages_of"), {"id": id}))


def _status_after(name: str, id: UUID) -> Steps[str]:
    rows = yield Query(sql_of(name), {"id": id})
    if rows[0]["status"] is None:
        raise InvalidRequestError(f"request {id} does not exist")
    return str(rows[0]["status"])


def _checked_at(place: int, columns: Mapping[str, Any]) -> dict[str, Value]:
    try:
        return checked(columns)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"requests[{place}].{error.message}", details={"index": place}) from None


def _ids_like(first: UUID, count: int) -> Iterator[UUID]:
    """That id and more of its millisecond, which the database's clock gave: only the last 62 bits are new."""
    yield first
    moment = first.int >> 62 << 62
    for bits in struct.unpack(f"={count - 1}Q", os.urandom(8 * (count - 1))):
        yield UUID(int=moment | bits >> 2)


def _chosen(row: dict[str, Value], id: UUID) -> UUID:
    """The producer's own id, else this one."""
    given = row.setdefault("id", id)
    assert isinstance(given, UUID)
    return given


def _grouped(rows: Iterable[dict[str, Value]]) -> list[tuple[sql.Composed, list[list[Value]]]]:
    """Rows by the columns they set: a column that is not named in a COPY gets its default."""
    groups: dict[tuple[str, ...], list[list[Value]]] = {}
    for row in rows:
        names = tuple(sorted(row))
        groups.setdefault(names, []).append([row[name] for name in names])
    return [
        (sql_of("copy_requests").format(columns=sql.SQL(", ").join(map(sql.Identifier, names))), values)
        for names, values in groups.items()
    ]


def _dedupe(values: Mapping[str, Value]) -> tuple[str, str]:
    return str(values.get("tenant_id", "default")), str(values.get("dedupe_key", ""))


def _by_dedupe_key(keys: Sequence[tuple[str, str]]) -> Query:
    parameters = {"tenant_ids": [tenant for tenant, _ in keys], "dedupe_keys": [key for _, key in keys]}
    return Query(sql_of("ids_by_dedupe_key"), parameters)


def _hidden(dedupe_key: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"dedupe_key {dedupe_key!r} is taken by a request this transaction cannot see: use READ COMMITTED"
    )
