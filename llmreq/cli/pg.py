"""`llmreq pg`: the embedded Postgres, by hand."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil

import click
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from llmreq.database import embedded
from llmreq.database.connection import database_url
from llmreq.database.pg_binaries import bundled
from llmreq.errors import DatabaseUnavailableError
from llmreq.settings import Settings, load_settings


@click.group()
def pg() -> None:
    """The embedded Postgres, which llmreq uses while LLMREQ_DATABASE_URL is unset.

    \b
    Example:
      llmreq pg start
      llmreq pg psql -c 'SELECT status, count(*) FROM llm_requests GROUP BY 1'
    """


@pg.command()
def start() -> None:
    """Start it, unless it runs, and print its URL.

    Other commands start it by themselves. It goes on running when this command ends.
    """
    click.echo(embedded.ensure_running(load_settings().data_dir))


@pg.command()
def stop() -> None:
    """Stop it, ending its sessions. The data stays."""
    stopped = embedded.stop(load_settings().data_dir)
    click.echo("stopped" if stopped else "it was not running")


@pg.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Say whether it runs and where its data is. Exit code 1 when it does not run."""
    found = embedded.status(load_settings().data_dir)
    facts = dataclasses.asdict(found)
    if as_json:
        click.echo(json.dumps(facts, default=str))
    else:
        for name, value in facts.items():
            click.echo(f"{name.replace('_', ' '):12} {_shown(value)}")
    context.exit(0 if found.running else 1)


@pg.command()
def url() -> None:
    """Print the URL of the database in force, starting the embedded one if need be.

    \b
    Example:
      pg_dump "$(llmreq pg url)" > backup.sql
    """
    click.echo(database_url(load_settings()))


@pg.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the database in force, given or embedded; ARGUMENTS go to psql.

    \b
    Example:
      llmreq pg psql
      llmreq pg psql -c 'TABLE llmreq_spend'
    """
    argv, password = psql_argv(load_settings())
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    os.execvpe(argv[0], [*argv, *arguments], environment)  # noqa: S606  psql takes over this terminal


def psql_argv(settings: Settings) -> tuple[list[str], str | None]:
    """psql with the database in force, and the password, which must not stand on a command line.

    The wheel brings psql; the system's serves where it does not. Raises DatabaseUnavailableError.
    """
    parameters = conninfo_to_dict(database_url(settings))
    password = parameters.pop("password", None)
    program = bundled().program("psql")
    found = str(program) if program.exists() else shutil.which("psql")
    if found is None:
        raise DatabaseUnavailableError("no psql here: install postgresql-client")
    return [found, make_conninfo("", **parameters)], None if password is None else str(password)


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else value
