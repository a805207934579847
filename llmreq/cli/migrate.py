"""`llmreq migrate`."""

from __future__ import annotations

import click

from llmreq.cli.output import json_option, say, write_json
from llmreq.database.connection import database_url
from llmreq.database.migrate import migrate as migrate_database
from llmreq.settings import load_settings


@click.command()
@json_option
def migrate(as_json: bool) -> None:
    """Make the tables, functions and views, or bring them to this version; safe to repeat.

    \b
    LLMREQ_DATABASE_URL=postgresql://me@db/app llmreq migrate
    """
    revision = migrate_database(database_url(load_settings()))
    if as_json:
        write_json({"schema": revision})
    else:
        say(f"The schema is current ({revision}).")
