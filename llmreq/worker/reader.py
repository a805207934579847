"""Reads the payloads of claims, so much at a time, and finds the ones that cannot be read without losing the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
import structlog

from llmreq.errors import ErrorCode, InvalidRequestError
from llmreq.limits import MAX_PAYLOAD_BYTES, READ_SLICE_BYTES
from llmreq.wire.outcome import Failure
from llmreq.worker import engine
from llmreq.worker.describe import describe
from llmreq.worker.engine import Claim, Read, ReadDocument, Taken, Unreadable
from llmreq.worker.fault import Fault, fault_of

log = structlog.get_logger()


@dataclass(slots=True)
class Slice:
    """What one reading came to: claims with the bytes of their payload, those that failed, those for which there was no room.

    Claims that are in none of the three have fallen to rescue meanwhile.
    """

    claims: list[tuple[Claim, int]] = field(default_factory=list)
    refused: list[tuple[Taken, Failure]] = field(default_factory=list)
    later: list[Taken] = field(default_factory=list)


class _Row(NamedTuple):
    """A claim as it was read, or what is known of its size."""

    taken: Taken
    read: Read
    behind: ReadDocument | None

    @property
    def here(self) -> bool:
        return self.read.here and (self.behind is None or self.behind.here)

    @property
    def payload_bytes(self) -> int:
        return self.read.payload_bytes + (self.behind.document_bytes if self.behind else 0)

    def claim(self) -> Claim:
        """Raises InvalidRequestError, whose message names the column and repeats nothing of it."""
        claim = self.read.claim
        if self.behind is not None:
            claim = claim._replace(response_schema=self.behind.response_schema, document=self.behind.document)
        for name in _JSON:
            if isinstance(value := getattr(claim, name), Unreadable):
                raise InvalidRequestError(f"{name} cannot be read: {value.reason}")
        return claim


_JSON = ("messages", "response_schema", "tools", "tool_choice", "params", "last_errors", "document")


async def read_slice(
    connection: psycopg.AsyncConnection[Any], taken: Sequence[Taken], slice_bytes: int = READ_SLICE_BYTES
) -> Slice:
    """Some of these claims, at least one, as many as fit the slice: all that have at most an even share of it; where none has,
    the first ones that fit together, now that their sizes are known.

    Raises psycopg.Error only where the database fails as a whole.
    """
    found = Slice()
    rows = await _read(connection, taken, slice_bytes // (2 * len(taken)), found)
    if rows and not any(row.here for row in rows):
        large = _fitting(rows, slice_bytes)
        rows = [*await _read(connection, large, MAX_PAYLOAD_BYTES, found), *rows[len(large) :]]
    for row in rows:
        _sort(row, found)
    return found


def _fitting(rows: Sequence[_Row], slice_bytes: int) -> list[Taken]:
    """The first rows that fit together: one at least."""
    total = 0
    for index, row in enumerate(rows):
        total += row.payload_bytes
        if index and total > slice_bytes:
            return [each.taken for each in rows[:index]]
    return [each.taken for each in rows]


async def _read(
    connection: psycopg.AsyncConnection[Any], taken: Sequence[Taken], most_bytes: int, found: Slice
) -> list[_Row]:
    """By halves where a statement fails: the row it fails for is then alone, and no other is lost."""
    try:
        read = await engine.read(connection, taken, most_bytes)
        here = {each.claim.id for each in read if each.here}
        behind = [each.id for each in taken if each.documented and each.id in here]
        documents = await engine.read_documents(connection, behind, most_bytes) if behind else {}
    except (psycopg.Error, UnicodeDecodeError) as error:
        if isinstance(error, psycopg.Error) and (
            connection.closed or fault_of(error) in (Fault.LOST, Fault.SERVER)
        ):
            raise
        if len(taken) == 1:
            found.refused.append((taken[0], _not_read(error)))
            log.error("claim_unreadable", request_id=str(taken[0].id), error=describe(error))
            return []
        middle = len(taken) // 2
        first = await _read(connection, taken[:middle], most_bytes, found)
        return first + await _read(connection, taken[middle:], most_bytes, found)
    named = {each.id: each for each in taken}
    return [_Row(named[each.claim.id], each, documents.get(each.claim.id)) for each in read]


def _sort(row: _Row, found: Slice) -> None:
    if row.payload_bytes > MAX_PAYLOAD_BYTES:
        found.refused.append((row.taken, _too_large(row.payload_bytes)))
    elif not row.here:
        found.later.append(row.taken)
    else:
        try:
            found.claims.append((row.claim(), row.payload_bytes))
        except InvalidRequestError as problem:
            found.refused.append((row.taken, Failure(problem.code, problem.message)))


def _too_large(payload_bytes: int) -> Failure:
    return Failure(
        ErrorCode.INVALID_REQUEST,
        f"the request has {payload_bytes:,} bytes, at most {MAX_PAYLOAD_BYTES:,} can be sent",
        {"bytes": payload_bytes, "limit": MAX_PAYLOAD_BYTES},
    )


def _not_read(error: psycopg.Error | UnicodeDecodeError) -> Failure:
    """Postgres's fault may be the moment's, as a time limit is: `internal` is tried again, as often as the request may be."""
    if isinstance(error, UnicodeDecodeError):  # a database of no encoding, SQL_ASCII
        return Failure(ErrorCode.INVALID_REQUEST, "its text cannot be read: it is not UTF-8")
    return Failure(ErrorCode.INTERNAL, f"Postgres could not read the request: {describe(error)}")
