"""The schema: its migrations, its metadata, and two who migrate at once."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from llmreq.database.connection import sqlalchemy_url
from llmreq.database.migrate import _config, migrate, newest_revision, require_current
from llmreq.database.schema import metadata
from llmreq.errors import DatabaseUnavailableError, ErrorCode


def _ours(_object: object, name: str | None, kind: str, _reflected: bool, _compared: object) -> bool:
    return not (
        kind == "table"
        and name is not None
        and (name == "alembic_version" or name.startswith("llm_attempts_"))
    )


def test_the_metadata_and_the_migrations_say_the_same(database: str) -> None:
    engine = sa.create_engine(sqlalchemy_url(database))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": _ours, "compare_type": True, "compare_server_default": False}
        )
        assert compare_metadata(context, metadata) == []


def test_column_order_in_the_metadata_is_the_tables(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'llm_requests'::regclass AND attnum > 0 ORDER BY attnum"
        ).fetchall()
    assert [name for (name,) in rows] == [column.name for column in metadata.tables["llm_requests"].columns]


def test_several_processes_may_migrate_at_once_and_again(empty_database: str) -> None:
    program = f"from llmreq.database.migrate import migrate; migrate({empty_database!r})"
    racers = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(3)]
    for racer in racers:
        _, errors = racer.communicate(timeout=60)
        assert (racer.returncode, errors) == (0, b"")
    require_current(empty_database)
    migrate(empty_database)


def test_an_empty_or_older_or_newer_schema_is_refused_with_what_to_do(empty_database: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match="run llmreq migrate"):
        require_current(empty_database)
    migrate(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffff'")
        with pytest.raises(DatabaseUnavailableError, match="upgrade llmreq"):
            require_current(empty_database)
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        with pytest.raises(DatabaseUnavailableError, match="needs 0007: run llmreq migrate"):
            require_current(empty_database)
        connection.execute("UPDATE alembic_version SET version_num = '0007'")
        connection.execute("UPDATE llmreq_meta SET value = 'other' WHERE key = 'sql'")
    with pytest.raises(
        DatabaseUnavailableError, match="functions are of another version: run llmreq migrate"
    ):
        require_current(empty_database)
    migrate(empty_database)
    require_current(empty_database)


def test_the_error_codes_of_python_and_of_sql_are_the_same(database: str) -> None:
    with psycopg.connect(database) as connection:
        codes = {code for (code,) in connection.execute("SELECT code FROM llmreq_error_rules()")}
    assert codes == {code.value for code in ErrorCode}


def test_the_newest_revision_by_its_files_name_is_alembics_head() -> None:
    assert newest_revision() == ScriptDirectory.from_config(_config()).get_current_head()


def test_a_command_that_reads_loads_neither_sqlalchemy_nor_alembic(database: str) -> None:
    program = (
        "import sys; from llmreq.cli.main import cli; cli(['status'], standalone_mode=False);"
        "sys.exit(', '.join({'sqlalchemy', 'alembic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LLMREQ_DATABASE_URL": database},
        capture_output=True,
        text=True,
    )
    assert done.stderr == "\n"


def test_a_database_that_is_down_is_one_clear_line() -> None:
    with pytest.raises(DatabaseUnavailableError) as raised:
        require_current("postgresql://someone:hunter2@127.0.0.1:1/none")
    assert "\n" not in raised.value.message
    assert "hunter2" not in raised.value.message


def test_operators_routes_survive_a_new_version_of_the_seeds(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM llm_routes WHERE quality = 'basic'")
        connection.execute("UPDATE llmreq_meta SET value = 'older' WHERE key = 'sql'")
        migrate(database)
        assert connection.execute("SELECT count(*) FROM llm_routes WHERE quality = 'basic'").fetchone() == (
            0,
        )
