"""`llmreq status`."""

from __future__ import annotations

from functools import partial

import click

from llmreq.cli.context import ready_url
from llmreq.cli.output import dollars, fields_of, json_option, table, write_json, write_line
from llmreq.database.connection import connect
from llmreq.limits import STATUS_JSON_ROWS, STATUS_ROWS
from llmreq.reports.status import Status, read_status

_WORKER = ("id", "name", "state", "healthy", "processing", "concurrency", "providers")
_BUDGET = (
    "budget",
    "period",
    "limit_usd",
    "spent_usd",
    "held_usd",
    "limit_tokens",
    "used",
    "on_exhausted",
    "waiting",
)
_SPEND = ("tenant_id", "lane", "calls", "cost_usd", "upper_bound_usd", "unpriced_calls")


@click.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    help=f"Rows of each topic, those that matter most first. Default {STATUS_ROWS}, with --json {STATUS_JSON_ROWS}.",
)
@json_option
def status(limit: int | None, as_json: bool) -> None:
    """The queue at a glance: what waits and why, who works, what is blocked, what today costs.

    \b
    llmreq status
    llmreq status --json | jq .waiting
    """
    connecting = partial(connect, ready_url(), application_name="llmreq cli")
    now = read_status(connecting, limit or (STATUS_JSON_ROWS if as_json else STATUS_ROWS))
    if as_json:
        write_json(fields_of(now))
    else:
        _draw(now)


def _draw(now: Status) -> None:
    _table(now, "Queue", "queue", "lane", "status", "requests", "oldest_seconds", empty="empty")
    if "queue" in now.more:
        write_line("Open: " + ", ".join(f"{count:,} {status}" for status, count in now.open.items()))
    if now.waiting:
        _table(now, "Waiting", "waiting", "lane", "reason", "message", "requests", "until")
    _table(now, "Workers", "workers", *_WORKER, empty="none: run llmreq worker")
    if now.blocked:
        _table(now, "Blocked lanes", "blocked", "lane", "state", "blocked_until", "block_message", "pending")
    if now.budgets:
        _table(now, "Budgets", "budgets", *_BUDGET)
    _table(now, "Today (UTC)", "spend", *_SPEND, empty="no calls")
    if now.spend:
        known = "" if now.spend_usd is not None else f" (known so far {dollars(now.known_usd)})"
        write_line(f"Spent today: {dollars(now.spend_usd)}{known}")
    for lane in now.unpriced:
        write_line(f"UNPRICED: {lane['lane']}: see llmreq prices set --help", "bold red")
    if more := now.more.get("unpriced"):
        write_line(f"UNPRICED: and {more:,} more lanes", "bold red")


def _table(now: Status, title: str, topic: str, *columns: str, empty: str = "none") -> None:
    rows = [[row[name] for name in columns] for row in getattr(now, topic)]
    table(title, columns, rows, empty=empty, more=now.more.get(topic, 0))
