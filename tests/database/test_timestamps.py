"""Moments that Postgres can store and Python cannot are read as the nearest one that it can."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import psycopg
import pytest

from llmreq.database.connection import connect, connect_async
from llmreq.database.timestamps import EARLIEST, LATEST

MOMENTS = [
    ("infinity", LATEST),
    ("294276-12-31 00:00+00", LATEST),
    ("10001-01-01 00:00+00", LATEST),
    ("-infinity", EARLIEST),
    ("4713-01-01 00:00+00 BC", EARLIEST),
    ("0044-03-15 12:00+00 BC", EARLIEST),
    ("2026-11-21 12:00:00.5+00", datetime(2026, 11, 21, 12, 0, 0, 500_000, tzinfo=UTC)),
    ("9999-12-30 00:00+00", datetime(9999, 12, 30, tzinfo=UTC)),
]
READ = "SELECT %s::timestamptz"


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_every_moment_of_postgres_is_read(admin_url: str, zone: str, binary: bool) -> None:
    with connect(admin_url) as connection, connection.cursor(binary=binary) as cursor:
        cursor.execute("SELECT set_config('timezone', %s, false)", [zone])
        for written, read in MOMENTS:
            assert cursor.execute(READ, [written]).fetchone() == (read,), written


def test_asyncio_connections_read_them_too(admin_url: str) -> None:
    async def scene() -> object:
        async with await connect_async(admin_url) as connection:
            return await (await connection.execute("SELECT 'infinity'::timestamptz")).fetchone()

    assert asyncio.run(scene()) == (LATEST,)


def test_other_connections_of_the_process_are_left_as_they_are(admin_url: str) -> None:
    connect(admin_url).close()
    with psycopg.connect(admin_url) as theirs, pytest.raises(psycopg.DataError):
        theirs.execute("SELECT 'infinity'::timestamptz").fetchone()
