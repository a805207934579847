"""Whatever defaults a DBA gave the role or the database, a worker works under them or says in one line why it cannot."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import AsyncCursor, sql

from llmreq.simulator.process import Simulator
from llmreq.worker.link import Link
from tests.worker.fleet import Fleet, Table, check_bill

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}

SETTINGS: dict[str, dict[str, str]] = {
    "serializable, with strings and arrays of old": {
        "default_transaction_isolation": "serializable",
        "standard_conforming_strings": "off",
        "backslash_quote": "off",
        "array_nulls": "off",
    },
    "repeatable read, with short time-outs": {
        "default_transaction_isolation": "repeatable read",
        "statement_timeout": "1500ms",
        "lock_timeout": "10ms",
    },
    "foreign formats": {
        "DateStyle": "German, DMY",
        "IntervalStyle": "sql_standard",
        "TimeZone": "<+0345>-3:45",
        "bytea_output": "escape",
        "extra_float_digits": "-15",
        "client_encoding": "LATIN1",
        "search_path": "nowhere, public",
    },
}
LISTS = ("search_path",)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_worker_works_under_odd_settings(
    name: str, table: Table, fleet: Fleet, simulator: Simulator
) -> None:
    rows = [
        table.insert(
            provider="openai", model="gpt-6-luna", content="naïve 日本 \\d 'x'", tenant_id=f"tenant {n} 日本"
        )
        for n in range(3)
    ]
    checked = table.insert(
        provider="anthropic", model="claude-haiku-5-5", content="who?", response_schema=SCHEMA
    )
    late = table.insert(
        provider="openai", model="gpt-6-luna", content="late", expires_at=datetime(2026, 1, 2, tzinfo=UTC)
    )
    document = table.insert(
        agent_name="entity-extractor", content="The crane on quay 5 is stuck again. " * 600
    )
    _set(table, SETTINGS[name])
    code = fleet.drain()
    _reset(table)
    assert code == 0, fleet.logs()
    for row in (*rows, checked):
        assert table.request(row)["status"] == "completed"
    assert table.request(checked)["parsed_response"]["name"]
    assert table.request(late)["error_code"] == "expired"
    assert table.request(document)["status"] == "completed"
    assert "loop_error" not in fleet.logs()
    check_bill(table, simulator)


def test_a_database_that_may_only_be_read_is_refused_with_the_remedy(table: Table, fleet: Fleet) -> None:
    _set(table, {"default_transaction_read_only": "on"})
    assert fleet.start().wait(timeout=30) == 1
    said = fleet.logs().strip()
    assert said.count("\n") == 0
    assert "ALTER ROLE postgres SET default_transaction_read_only = off" in said


def test_a_connection_pins_only_what_is_in_the_way(database: str) -> None:
    assert asyncio.run(_pinned(database)) is None
    _set(Table(database), {"DateStyle": "German", "statement_timeout": "45s", "TimeZone": "Asia/Kathmandu"})
    assert asyncio.run(_pinned(database)) is None
    _set(Table(database), {"statement_timeout": "100ms", "array_nulls": "off"})
    assert asyncio.run(_pinned(database)) == {"statement_timeout": "60s", "array_nulls": "on"}


def test_a_pinned_statement_is_a_transaction_of_its_own_and_leaves_the_session_as_it_was(
    database: str,
) -> None:
    _set(Table(database), {"default_transaction_isolation": "serializable", "statement_timeout": "100ms"})

    async def main() -> None:
        link = Link(lambda: database, "test")
        async with link.use() as connection:
            slept = await connection.execute(
                "SELECT pg_sleep(0.3)::text, current_setting('transaction_isolation')"
            )
            assert await slept.fetchone() == ("", "read committed")
            with pytest.raises(Exception, match="division by zero"):
                await connection.execute("SELECT 1 / 0")
            assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
            connection.cursor_factory = AsyncCursor
            seen = await connection.execute(
                "SELECT current_setting('statement_timeout'), current_setting('transaction_isolation')"
            )
            assert await seen.fetchone() == ("100ms", "serializable")
        await link.close()

    asyncio.run(main())


async def _pinned(url: str) -> Any:
    link = Link(lambda: url, "test")
    async with link.use() as connection:
        pinned = connection.pinned
    await link.close()
    return pinned


def _reset(table: Table) -> None:
    with psycopg.connect(table.url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(connection.info.dbname))
        )


def _set(table: Table, settings: dict[str, str]) -> None:
    """As a DBA does, for every session to come."""
    with psycopg.connect(table.url, autocommit=True) as connection:
        for name, value in settings.items():
            values = (
                sql.SQL(", ").join(map(sql.Identifier, value.split(", ")))
                if name in LISTS
                else sql.Literal(value)
            )
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(connection.info.dbname), sql.Identifier(name), values
                )
            )
