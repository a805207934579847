"""How the tables' columns are written."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP

metadata = sa.MetaData()

_NOW = sa.text("llmreq_now()")


def time(name: str, *, default: bool = False, required: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        TIMESTAMP(timezone=True),
        nullable=not (default or required),
        server_default=_NOW if default else None,
    )


def count(
    name: str, kind: type[sa.types.TypeEngine[int]] = sa.BigInteger, default: str = "0"
) -> sa.Column[int]:
    return sa.Column(name, kind, nullable=False, server_default=sa.text(default))


def amount(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Numeric, nullable=False, server_default=sa.text("0"))


def text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=default is None, server_default=default)
