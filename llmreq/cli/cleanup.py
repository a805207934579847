"""`llmreq cleanup`."""

from __future__ import annotations

import click

from llmreq.cli.context import ready_connection
from llmreq.cli.output import json_option, say, write_json
from llmreq.reports.cleanup import cleanup as clean
from llmreq.settings import NUMBERS, load_settings


@click.command()
@click.option(
    "--days",
    type=click.IntRange(NUMBERS["retention_days"].low, NUMBERS["retention_days"].high),
    help="Keep so many; default LLMREQ_RETENTION_DAYS.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def cleanup(days: int | None, dry_run: bool, as_json: bool) -> None:
    """Forget ended requests and ledger days that are older. Open requests and the daily usage stay.

    A running worker does the same once a day.

    \b
    llmreq cleanup --days 90 --dry-run
    """
    kept = days or load_settings().retention_days
    with ready_connection() as connection:
        gone = clean(connection, kept, dry_run=dry_run)
    if as_json:
        write_json(
            {"days": kept, "dry_run": dry_run, "requests": gone.requests, "partitions": gone.partitions}
        )
        return
    would = "would forget" if dry_run else "forgot"
    say(
        f"Older than {kept} days: {would} {gone.requests:,} ended requests and {len(gone.partitions)} days of the ledger."
    )
