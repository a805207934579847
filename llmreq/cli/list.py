"""`llmreq list`."""

from __future__ import annotations

import click

from llmreq.cli.context import ready_client
from llmreq.cli.output import dollars, json_option, table, write_json_lines

STATUSES = ("pending", "processing", "waiting", "completed", "failed", "cancelled")
_COLUMNS = ("id", "status", "tenant_id", "task_type", "lane", "attempts")


@click.command("list")
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--tenant", help="Only this tenant's.")
@click.option("--task-type", help="Only this operation.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--pages", is_flag=True, help="The pages of documents, too.")
@json_option
def list_requests(
    status: str | None, tenant: str | None, task_type: str | None, limit: int, pages: bool, as_json: bool
) -> None:
    """List requests, the newest first; with --json one whole row a line.

    \b
    llmreq list --status failed --tenant acme
    """
    with ready_client() as client:
        found = client.list(status=status, tenant_id=tenant, task_type=task_type, limit=limit, pages=pages)
    if as_json:
        write_json_lines(found)
        return
    rows = [
        [
            *(getattr(each, name) for name in _COLUMNS),
            dollars(each.cost_usd),
            each.created_at,
            each.error_code or each.wait_reason,
        ]
        for each in found
    ]
    table("Requests", [*_COLUMNS, "cost", "created", "why"], rows)
