"""Requests as JSON lines: reads them in batches, names each bad line, inserts the good ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from llmreq.errors import InvalidRequestError
from llmreq.limits import ENQUEUE_BATCH_LINES
from llmreq.producer import steps
from llmreq.producer.client import Client
from llmreq.producer.columns import checked


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one line: `id` when inserted, `problem` when bad, both when it failed on arrival."""

    number: int
    id: UUID | None = None
    problem: str | None = None


def enqueue_lines(client: Client, lines: Iterable[bytes], defaults: Mapping[str, Any]) -> Iterator[Line]:
    """One request per line; `defaults` fill what it leaves out. Each batch is its own transaction."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    while batch := list(islice(numbered, ENQUEUE_BATCH_LINES)):
        good: list[tuple[int, dict[str, Any]]] = []
        for number, line in batch:
            try:
                good.append((number, parse_line(line, defaults)))
            except InvalidRequestError as error:
                yield Line(number, problem=error.message)
        ids = client.enqueue_many(columns for _, columns in good)
        refused = client.run(steps.refused(ids))
        for (number, _), id in zip(good, ids, strict=True):
            yield Line(number, id, refused.get(id))


def parse_line(line: bytes, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A line's columns. Raises InvalidRequestError for what could not be inserted."""
    try:
        columns = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"not JSON: {error}") from None
    if not isinstance(columns, dict):
        raise InvalidRequestError(
            f"must be an object with the request's columns, not {type(columns).__name__}"
        )
    merged = {**defaults, **columns}
    checked(merged)
    return merged
