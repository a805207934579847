"""`llmreq wait`."""

from __future__ import annotations

from uuid import UUID

import click

from llmreq.cli.context import ready_client, resolve
from llmreq.cli.output import json_option, say, visible, write_json
from llmreq.producer.client import Client

TIMED_OUT = 3


@click.command()
@click.argument("id")
@click.option("--timeout", type=click.FloatRange(min=0), default=300.0, show_default=True, help="Seconds.")
@json_option
@click.pass_context
def wait(ctx: click.Context, id: str, timeout: float, as_json: bool) -> None:
    """Wait until a request has ended and write its answer.

    Exit code: 0 completed, 1 failed or cancelled, 3 not ended within --timeout.

    \b
    llmreq wait 5f3a91c2 --timeout 60
    """
    with ready_client() as client:
        ctx.exit(wait_and_write(client, resolve(client, id), timeout, as_json=as_json))


def wait_and_write(client: Client, id: UUID, timeout_seconds: float, *, as_json: bool) -> int:
    """Write the ended request's answer on stdout, or what went wrong on stderr; returns the exit code."""
    try:
        request = client.wait(id, timeout_seconds)
    except TimeoutError as error:
        say(f"llmreq: {error}")
        return TIMED_OUT
    if as_json:
        write_json(request)
    elif request.status == "completed":
        click.echo(visible(request.response or ""))
    if request.status == "completed":
        return 0
    reason = f": {request.error_code}: {request.error_message}" if request.error_code else ""
    say(f"llmreq: request {id} is {request.status}{reason}")
    return 1
