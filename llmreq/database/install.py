"""Lays sql/functions, sql/views and sql/seeds over the tables.

A function or view has one definition, the file people read; it is replaced as a whole whenever the files' fingerprint
differs from the one the database carries. So the migrations only ever deal with tables (docs/decisions.md).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from llmreq.database.statements import sql_files

if TYPE_CHECKING:
    import sqlalchemy as sa

# Column defaults stand on these two, so they come before the tables and are never dropped.
_BASE = ("now", "uuid7")

_LOCK = int.from_bytes(hashlib.sha256(b"llmreq schema").digest()[:6], "big")

_DROP_ALL = """
DO $$
DECLARE d text;
BEGIN
  FOR d IN
    SELECT format('DROP VIEW IF EXISTS %I CASCADE', c.relname) FROM pg_class c
    WHERE c.relkind = 'v' AND c.relname LIKE 'llmreq\\_%' AND c.relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT format('DROP FUNCTION IF EXISTS %s CASCADE', p.oid::regprocedure) FROM pg_proc p
    WHERE p.proname LIKE 'llmreq\\_%' AND p.proname NOT IN ('llmreq_now', 'llmreq_uuid7')
      AND p.pronamespace = current_schema()::regnamespace
  LOOP
    EXECUTE d;
  END LOOP;
END
$$
"""


def lock_schema(connection: sa.Connection) -> None:
    """Serialise migrations: the second of two waits here, then finds nothing to do. Ends with the transaction."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def install_base(connection: sa.Connection) -> None:
    """The functions that column defaults call."""
    for path in sql_files("functions"):
        if path.stem in _BASE:
            _run(connection, path.read_text())


def install_rest(connection: sa.Connection) -> None:
    """Every other function, the views and the seeds, if any of their files changed."""
    wanted = fingerprint()
    has = connection.exec_driver_sql("SELECT value FROM llmreq_meta WHERE key = 'sql'").scalar()
    if has == wanted:
        return
    _run(connection, _DROP_ALL)
    # Bodies may name functions of later files.
    connection.exec_driver_sql("SET LOCAL check_function_bodies = off")
    for room in ("functions", "views", "seeds"):
        for path in sql_files(room):
            if path.stem not in _BASE:
                _run(connection, path.read_text())
    connection.exec_driver_sql("SELECT llmreq_ensure_partitions()")
    connection.exec_driver_sql(
        "INSERT INTO llmreq_meta (key, value) VALUES ('sql', %s)"
        " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, updated_at = llmreq_now()",
        (wanted,),
    )


def fingerprint() -> str:
    """One hash over every file under sql/functions, sql/views and sql/seeds."""
    digest = hashlib.sha256()
    for room in ("functions", "views", "seeds"):
        for path in sql_files(room):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _run(connection: sa.Connection, script: str) -> None:
    # The raw cursor: a script holds several statements and percent signs, and takes no parameters.
    cursor = connection.connection.cursor()
    try:
        cursor.execute(script)
    finally:
        cursor.close()
