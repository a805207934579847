"""Requests that Postgres lets nobody change, as where a user's trigger raises: claims pass over them for a while. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from llmreq.limits import MAX_UNCLAIMABLE_ROWS, UNCLAIMABLE_SECONDS


class Unclaimable:
    """At most `MAX_UNCLAIMABLE_ROWS`, the oldest forgotten first. `now` is a monotonic clock's, in seconds."""

    def __init__(self) -> None:
        self._until: dict[UUID, float] = {}

    def add(self, ids: Iterable[UUID], now: float) -> list[UUID]:
        """Pass over these from now on; returns the ones that were not known."""
        new = []
        for id in ids:
            if self._until.pop(id, None) is None:
                new.append(id)
            self._until[id] = now + UNCLAIMABLE_SECONDS
        for id in list(self._until)[: max(0, len(self._until) - MAX_UNCLAIMABLE_ROWS)]:
            del self._until[id]
        return new

    def skip(self, now: float) -> list[UUID]:
        """What a claim passes over now. The others stay known: they are told of once."""
        return [id for id, until in self._until.items() if now < until]
