"""What every client method does, as generators that do no I/O: they yield steps and are sent the rows.

`Client` and `AsyncClient` drive the same generators (drive.py), so there is one logic for both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import sql

from llmreq.database.statements import statement
from llmreq.errors import DatabaseUnavailableError, InvalidRequestError
from llmreq.limits import COPY_TRIES, FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS, RETRY_BATCH
from llmreq.producer.columns import Value, checked
from llmreq.producer.request import ENDED, Request

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """Run one statement; the generator is sent its rows."""

    text: sql.SQL | sql.Composed
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy all groups, each a COPY statement and its rows, or none of them."""

    groups: Sequence[tuple[sql.Composed, Sequence[Sequence[Value]]]]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait without holding a connection."""

    seconds: float


Step = Query | Copy | Pause
Steps = Generator[Step, list[Row], T]


def enqueue(columns: Mapping[str, Any]) -> Steps[UUID]:
    """INSERT one request; with a dedupe_key that exists, the id of the request that has it."""
    values = checked(columns)
    names = list(values)
    text = _sql("enqueue").format(
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
    for row, new in zip(rows, (yield Query(_sql("new_ids"), {"count": len(rows)})), strict=True):
        row.setdefault("id", new["id"])
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
    found = (yield _by_dedupe_key(list(first))) if first else []
    ids = {(each["tenant_id"], each["dedupe_key"]): each["id"] for each in found}
    if hidden := set(first) - set(ids):
        raise _hidden(min(hidden)[1])
    return [UUID(str(ids[_dedupe(row)] if "dedupe_key" in row else row["id"])) for row in rows]


def get(id: UUID) -> Steps[Request]:
    """One request. Raises InvalidRequestError when there is none."""
    return (yield from get_many([id]))[0]


def get_many(ids: Sequence[UUID]) -> Steps[list[Request]]:
    """Requests in the order of their ids. Raises InvalidRequestError when one does not exist."""
    rows = {row["id"]: row for row in (yield Query(_sql("get_requests"), {"ids": list(ids)}))}
    _all_exist(ids, rows)
    return [Request.from_row(rows[id]) for id in ids]


def listing(
    status: str | None, tenant_id: str | None, task_type: str | None, before: UUID | None, limit: int
) -> Steps[list[Request]]:
    """The newest requests first; `before` is the last id of the page before."""
    filters = {"status": status, "tenant_id": tenant_id, "task_type": task_type, "before": before}
    rows = yield Query(_sql("list_requests"), {**filters, "limit": limit})
    return [Request.from_row(row) for row in rows]


@dataclass(slots=True)
class Watch:
    """The requests that anybody waits for through one client: one look is for all of them."""

    counts: dict[UUID, int] = field(default_factory=dict)
    statuses: dict[UUID, str | None] = field(default_factory=dict)
    looked_at: float = float("-inf")

    @contextmanager
    def watching(self, ids: Sequence[UUID]) -> Generator[None]:
        for id in ids:
            self.counts[id] = self.counts.get(id, 0) + 1
        try:
            yield
        finally:
            for id in ids:
                self.counts[id] -= 1
                if not self.counts[id]:
                    del self.counts[id]
                    self.statuses.pop(id, None)


def wait_all(
    watch: Watch, ids: Sequence[UUID], timeout_seconds: float, clock: Callable[[], float] = time.monotonic
) -> Steps[list[Request]]:
    """Wait until every request has ended. Raises TimeoutError. A database that goes away is waited for."""
    until = clock() + timeout_seconds
    pause = FIRST_LOOK_SECONDS
    with watch.watching(ids):
        while True:
            if any(id not in watch.statuses for id in ids) or clock() - watch.looked_at >= pause * 0.9:
                yield from _look(watch, clock, until)
            _all_exist(ids, {id for id in ids if watch.statuses.get(id, "unknown")})
            left = [id for id in ids if watch.statuses.get(id) not in ENDED]
            if not left:
                return (yield from get_many(ids))
            if clock() >= until:
                raise TimeoutError(_not_ended(left, timeout_seconds))
            yield Pause(max(0.0, min(pause, until - clock())))
            pause = min(LONGEST_LOOK_SECONDS, pause * 1.5)


def _look(watch: Watch, clock: Callable[[], float], until: float) -> Steps[None]:
    watch.looked_at = clock()
    ids = list(watch.counts)
    try:
        rows = yield Query(_sql("statuses"), {"ids": ids})
    except (psycopg.OperationalError, DatabaseUnavailableError):
        if clock() >= until:
            raise
        return
    seen = {row["id"]: row["status"] for row in rows}
    watch.statuses.update({id: seen.get(id) for id in ids if id in watch.counts})


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
        rows = yield Query(_sql("retry_failed"), filters)
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
    rows = yield Query(_sql("find_by_prefix"), bounds)
    if not rows:
        rows = yield Query(_sql("find_by_suffix"), {"length": len(digits), "suffix": digits})
    if len(rows) != 1:
        problem = "names more than one request: give more digits" if rows else "names no request"
        raise InvalidRequestError(f"{text} {problem}")
    return UUID(str(rows[0]["id"]))


def refused(ids: Sequence[UUID]) -> Steps[dict[UUID, str]]:
    """Which of these new requests ended on arrival, and why: `code: message` by id."""
    rows = yield Query(_sql("refused_on_arrival"), {"ids": list(ids)})
    return {row["id"]: f"{row['error_code']}: {row['error_message']}" for row in rows}


def attempts(id: UUID) -> Steps[list[Row]]:
    """The request's calls from the ledger, oldest first."""
    return (yield Query(_sql("attempts_of"), {"id": id}))


def _status_after(name: str, id: UUID) -> Steps[str]:
    rows = yield Query(_sql(name), {"id": id})
    if rows[0]["status"] is None:
        raise InvalidRequestError(f"request {id} does not exist")
    return str(rows[0]["status"])


def _checked_at(place: int, columns: Mapping[str, Any]) -> dict[str, Value]:
    try:
        return checked(columns)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"requests[{place}].{error.message}", details={"index": place}) from None


def _grouped(rows: Iterable[dict[str, Value]]) -> list[tuple[sql.Composed, list[list[Value]]]]:
    """Rows by the columns they set: a column that is not named in a COPY gets its default."""
    groups: dict[tuple[str, ...], list[list[Value]]] = {}
    for row in rows:
        names = tuple(sorted(row))
        groups.setdefault(names, []).append([row[name] for name in names])
    return [
        (_sql("copy_requests").format(columns=sql.SQL(", ").join(map(sql.Identifier, names))), values)
        for names, values in groups.items()
    ]


def _dedupe(values: Mapping[str, Value]) -> tuple[str, str]:
    return str(values.get("tenant_id", "default")), str(values.get("dedupe_key", ""))


def _by_dedupe_key(keys: Sequence[tuple[str, str]]) -> Query:
    parameters = {"tenant_ids": [tenant for tenant, _ in keys], "dedupe_keys": [key for _, key in keys]}
    return Query(_sql("ids_by_dedupe_key"), parameters)


def _hidden(dedupe_key: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"dedupe_key {dedupe_key!r} is taken by a request this transaction cannot see: use READ COMMITTED"
    )


def _all_exist(ids: Iterable[UUID], known: Iterable[UUID]) -> None:
    missing = set(ids) - set(known)
    if missing:
        raise InvalidRequestError(f"request {min(missing)} does not exist (has its INSERT been committed?)")


def _not_ended(left: Sequence[UUID], timeout_seconds: float) -> str:
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return f"request {left[0]}{more} has not ended within {timeout_seconds:g} seconds"


def _sql(name: str) -> sql.SQL:
    return sql.SQL(statement(name))
