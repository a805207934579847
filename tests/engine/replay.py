"""Hands for tests that must do the same again: ids that count, and tables as empty as they came."""

from __future__ import annotations

from tests.engine.queue import Queue


def count_ids(queue: Queue) -> None:
    """From now on this database's ids count from a sequence, `counted_ids`; what sorts by id then sorts by age."""
    queue.run("CREATE SEQUENCE counted_ids")
    queue.run(
        "CREATE OR REPLACE FUNCTION llmreq_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS"
        " $$ SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(nextval('counted_ids')), 12, '0'))::uuid $$"
    )


def empty_tables(queue: Queue) -> list[str]:
    """The engine's tables that hold nothing in a fresh database: what a test may empty between its runs."""
    tables = queue.all(
        "SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname LIKE 'llm\\_%%'"
        " AND n.nspname = ANY (current_schemas(false)) ORDER BY 1"
    )
    return [row["name"] for row in tables if not queue.all(f"SELECT FROM {row['name']} LIMIT 1")]


def digest(queue: Queue, tables: list[str]) -> str:
    """One text for all that these tables hold."""
    each = " UNION ALL ".join(f"SELECT '{name}', t::text FROM {name} t" for name in tables)
    return str(
        queue.one(f"SELECT md5(string_agg(x::text, '|' ORDER BY x::text)) AS md5 FROM ({each}) x")["md5"]
    )
