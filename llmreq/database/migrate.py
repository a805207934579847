"""Brings a database to this version's schema, and says whether it is there."""

from __future__ import annotations

import threading

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from llmreq.database.connection import connect, sqlalchemy_url
from llmreq.database.install import fingerprint
from llmreq.database.statements import data_root
from llmreq.errors import DatabaseUnavailableError

# Alembic keeps its context in module globals: threads of one process take turns. Processes take turns in the database.
_one_at_a_time = threading.Lock()


def migrate(url: str) -> str:
    """Upgrade the schema at `url`; does nothing when it is current, and two at once are safe. Returns the revision."""
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
    # Not by SQLAlchemy's own way to a connection: a server that is silent must not hang whoever starts a worker.
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: connect(url, bounded=True), poolclass=sa.pool.NullPool
    )
    try:
        with engine.connect() as connection:
            problem = schema_problem(connection)
    except sa.exc.OperationalError as error:
        raise DatabaseUnavailableError(f"cannot reach the database: {_first_line(error)}") from None
    finally:
        engine.dispose()
    if problem:
        raise DatabaseUnavailableError(problem)


def schema_problem(connection: sa.Connection) -> str | None:
    """What is wrong with the schema, in one line with the remedy; None when it is current."""
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
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(data_root() / "migrations").replace("%", "%%"))
    return config


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", error)).strip().splitlines()[0]
