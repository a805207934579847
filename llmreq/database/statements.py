"""Finds and reads the SQL and the migrations, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def data_root() -> Path:
    """The folder that holds `sql/`, `migrations/` and `examples/`: the wheel's data folder, else the checkout."""
    installed = _PACKAGE / "_data"
    return installed if installed.is_dir() else _PACKAGE.parent


def sql_files(room: str) -> list[Path]:
    """The files of `sql/<room>/` in name order."""
    return sorted((data_root() / "sql" / room).glob("*.sql"))


@cache
def statement(name: str) -> str:
    """The text of `sql/queries/<name>.sql`."""
    return (data_root() / "sql" / "queries" / f"{name}.sql").read_text()
