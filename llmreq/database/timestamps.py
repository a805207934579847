"""Reads every moment that Postgres can store, so that one odd row never breaks a list of good ones (invariant 11).

Postgres knows `infinity`, years up to 294276 and years before Christ; Python's datetime knows none of them. They are
read as the nearest moment that it does know.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import abc
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import Format
from psycopg.types.datetime import TimestamptzBinaryLoader, TimestamptzLoader

LATEST = datetime.max.replace(tzinfo=UTC)
"""Stands for `infinity`, and for every moment after the year 9999."""

EARLIEST = datetime.min.replace(tzinfo=UTC)
"""Stands for `-infinity`, and for every moment before the year 1."""


def register(context: AdaptContext) -> None:
    """Read timestamptz so on this connection or cursor."""
    for loader in (_TextLoader, _BinaryLoader):
        context.adapters.register_loader("timestamptz", loader)


def _compiled(loader: type[Loader]) -> type[abc.Loader]:
    """psycopg's own loader, in C where that is installed, whatever a program has registered for all its connections."""
    adapters = AdaptersMap(types=psycopg.adapters.types)
    adapters.register_loader("timestamptz", loader)
    found = adapters.get_loader(adapters.types["timestamptz"].oid, loader.format)
    return found or loader


_Text, _Binary = _compiled(TimestamptzLoader), _compiled(TimestamptzBinaryLoader)
"""What reads all but a few; ours only step in when these raise."""


class _TextLoader(Loader):
    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._usual = _Text(oid, context)

    def load(self, data: Buffer) -> Any:
        try:
            return self._usual.load(data)
        except psycopg.DataError:
            text = bytes(data)
            return EARLIEST if text.startswith(b"-") or text.endswith(b"BC") else LATEST


class _BinaryLoader(Loader):
    format = Format.BINARY

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._usual = _Binary(oid, context)

    def load(self, data: Buffer) -> Any:
        try:
            return self._usual.load(data)
        except psycopg.DataError:
            # Microseconds since the year 2000, negative before it.
            return EARLIEST if bytes(data)[0] & 0x80 else LATEST
