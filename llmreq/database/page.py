"""The first rows of a list, and how many more there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from llmreq.database.ask import Row, ask


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and how many of their kind were left out."""

    rows: list[Row]
    more: int = 0


def ask_page(connection: psycopg.Connection[Any], name: str, **parameters: Any) -> Page:
    """The rows of a statement with a limit, whose column `total` counts them without it."""
    return page_of(ask(connection, name, **parameters))


def page_of(rows: list[Row]) -> Page:
    """Rows that carry their `total`; it is taken out of them."""
    totals = [row.pop("total") for row in rows]
    return Page(rows, max(totals, default=len(rows)) - len(rows))
