"""`llmreq cancel`."""

from __future__ import annotations

import click

from llmreq.cli.context import ready_client, resolve
from llmreq.cli.output import json_option, say, write_json

_SAID = {
    "cancelled": "is cancelled",
    "processing": "is being called: its worker cuts the call within a second",
}


@click.command()
@click.argument("ids", nargs=-1, required=True)
@json_option
@click.pass_context
def cancel(ctx: click.Context, ids: tuple[str, ...], as_json: bool) -> None:
    """End requests. What a call that is under way has cost is still booked.

    Exit code 1 when one had ended before.

    \b
    llmreq cancel 5f3a91c2 0b7711ee
    """
    with ready_client() as client:
        statuses = {id: client.cancel(id) for id in [resolve(client, each) for each in ids]}
    if as_json:
        write_json({"statuses": {str(id): status for id, status in statuses.items()}})
    else:
        for id, status in statuses.items():
            say(f"request {id} {_SAID.get(status, f'had ended before: {status}')}")
    ctx.exit(0 if set(statuses.values()) <= set(_SAID) else 1)
