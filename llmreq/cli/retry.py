"""`llmreq retry`."""

from __future__ import annotations

import click

from llmreq.cli.context import ready_client, resolve
from llmreq.cli.output import json_option, say, write_json
from llmreq.errors import ErrorCode


@click.command()
@click.argument("ids", nargs=-1)
@click.option("--all-failed", is_flag=True, help="Every failed request.")
@click.option(
    "--error-code",
    type=click.Choice([code.value for code in ErrorCode]),
    help="With --all-failed: only these.",
)
@click.option("--tenant", help="With --all-failed: only this tenant's.")
@json_option
@click.pass_context
def retry(
    ctx: click.Context,
    ids: tuple[str, ...],
    all_failed: bool,
    error_code: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Begin failed or cancelled requests again, with all their attempts before them.

    Exit code 1 when a named request is not pending after that.

    \b
    llmreq retry 5f3a91c2
    llmreq retry --all-failed --error-code quota_exhausted
    """
    if bool(ids) == all_failed or (not all_failed and (error_code or tenant)):
        raise click.UsageError("give IDs, or --all-failed (which --error-code and --tenant narrow)")
    with ready_client() as client:
        if all_failed:
            statuses = dict.fromkeys(client.retry_failed(error_code=error_code, tenant_id=tenant), "pending")
        else:
            statuses = {id: client.retry(id) for id in [resolve(client, each) for each in ids]}
    left = {id: status for id, status in statuses.items() if status != "pending"}
    if as_json:
        write_json(
            {"retried": len(statuses) - len(left), "statuses": {str(id): s for id, s in statuses.items()}}
        )
    else:
        say(f"{len(statuses) - len(left)} requests are pending again.")
        for id, status in left.items():
            say(f"llmreq: request {id} is {status}: only failed and cancelled requests are retried")
    ctx.exit(1 if left else 0)
