"""`llmreq migrate`."""

from __future__ import annotations

import click

from llmreq.cli.output import json_option, say, write_json
from llmreq.database.connection import connect, database_url
from llmreq.database.migrate import migrate as migrate_database
from llmreq.settings import load_settings


@click.command()
@click.option(
    "--doorbell/--no-doorbell",
    default=None,
    help="Wake idle workers by NOTIFY instead of their next poll; costs each INSERT a little. Off unless set.",
)
@json_option
def migrate(doorbell: bool | None, as_json: bool) -> None:
    """Make the tables, functions and views, or bring them to this version; safe to repeat.

    \b
    LLMREQ_DATABASE_URL=postgresql://me@db/app llmreq migrate
    """
    url = database_url(load_settings())
    revision = migrate_database(url)
    if doorbell is not None:
        with connect(url, application_name="llmreq cli") as connection:
            connection.execute("SELECT llmreq_set_doorbell(%s)", (doorbell,))
    if as_json:
        write_json({"schema": revision})
    else:
        bell = "" if doorbell is None else f" The doorbell is {'on' if doorbell else 'off'}."
        say(f"The schema is current ({revision}).{bell}")
