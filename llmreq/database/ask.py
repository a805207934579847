"""Runs a statement of sql/queries/ on a blocking connection."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from llmreq.database.statements import statement

Row = dict[str, Any]


def ask(connection: psycopg.Connection[Any], name: str, **parameters: Any) -> list[Row]:
    """The rows of `sql/queries/<name>.sql`, as dicts."""
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(sql.SQL(statement(name)), parameters)
        return cursor.fetchall()
