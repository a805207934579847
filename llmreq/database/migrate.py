"""Brings a database to this version's schema, and says whether it is there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg

from llmreq.database.connection import connect, sqlalchemy_url
from llmreq.database.install import fingerprint
from llmreq.database.statements import data_root
from llmreq.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    # Loaded where they are needed only: SQLAlchemy and Alembic take longer to load than a command that reads takes to run.
    import sqlalchemy as sa
    from alembic.config import Config

# Alembic keeps its context in module globals: threads of one process take turns. Processes take turns in the database.
_one_at_a_time = threading.Lock()


def migrate(url: str) -> str:
    """Upgrade the schema at `url`; does nothing when it is current, and two at once are safe. Returns the revision."""
    import sqlalchemy as sa
    from alembic import command

    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.pool.NullPool)
    try:
        with _one_at_a_time, engine.connect() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            return _revision(connection) or ""
    except sa.exc.OperationalError as error:
        raise DatabaseUnavailableError(f"cannot migrate: {_first_line(error)}") from None
    finally:
        engine.dispose()


def require_current(url: str) -> None:
    """Raise DatabaseUnavailableError, with what to do, unless the schema is the one this version needs."""
    with connect(url, bounded=True) as connection:
        if _is_current(connection):
            return
    import sqlalchemy as sa

    # Not by SQLAlchemy's own way to a connection: a server that is silent must not hang whoever starts a worker.
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: connect(url, bounded=True), poolclass=sa.pool.NullPool
    )
    try:
        with engine.connect() as opened:
            problem = schema_problem(opened)
    except sa.exc.OperationalError as error:
        raise DatabaseUnavailableError(f"cannot reach the database: {_first_line(error)}") from None
    finally:
        engine.dispose()
    if problem:
        raise DatabaseUnavailableError(problem)


def newest_revision() -> str:
    """The revision of the newest migration, by its file's name."""
    newest = max((data_root() / "migrations" / "versions").glob("[0-9]*.py"))
    return newest.name.partition("_")[0]


def _is_current(connection: psycopg.Connection[Any]) -> bool:
    try:
        found = connection.execute(
            "SELECT (SELECT version_num FROM alembic_version), (SELECT value FROM llmreq_meta WHERE key = 'sql')"
        ).fetchone()
    except psycopg.errors.Error:
        return False
    return found == (newest_revision(), fingerprint())


def schema_problem(connection: sa.Connection) -> str | None:
    """What is wrong with the schema, in one line with the remedy; None when it is current."""
    from alembic.script import ScriptDirectory

    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    has = _revision(connection)
    if has is None:
        return "this database has no llmreq schema: run llmreq migrate"
    if has != wanted:
        known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
        if has not in known:
            return f"the database is at schema {has}, which is newer than this llmreq: upgrade llmreq"
        return f"the database is at schema {has}, this llmreq needs {wanted}: run llmreq migrate"
    functions = connection.exec_driver_sql("SELECT value FROM llmreq_meta WHERE key = 'sql'").scalar()
    if functions != fingerprint():
        return "the database's llmreq functions are of another version: run llmreq migrate"
    return None


def _revision(connection: sa.Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(data_root() / "migrations").replace("%", "%%"))
    return config


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", error)).strip().splitlines()[0]
