"""`llmreq status`."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.text import Text

from llmreq.cli.context import ready_connection
from llmreq.cli.output import console, dollars, json_option, table, write_json
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
@json_option
def status(as_json: bool) -> None:
    """The queue at a glance: what waits and why, who works, what is blocked, what today costs.

    \b
    llmreq status
    llmreq status --json | jq .waiting
    """
    with ready_connection() as connection:
        now = read_status(connection)
    if as_json:
        write_json({**asdict(now), "spend_usd": now.spend_usd, "known_usd": now.known_usd})
    else:
        _draw(now)


def _draw(now: Status) -> None:
    _table("Queue", now.queue, "lane", "status", "requests", "oldest_seconds", empty="empty")
    if now.waiting:
        _table("Waiting", now.waiting, "lane", "reason", "message", "requests", "until")
    _table("Workers", now.workers, *_WORKER, empty="none: run llmreq worker")
    if now.blocked:
        _table("Blocked lanes", now.blocked, "lane", "state", "blocked_until", "block_message", "pending")
    if now.budgets:
        _table("Budgets", now.budgets, *_BUDGET)
    _table("Today (UTC)", now.spend, *_SPEND, empty="no calls")
    if now.spend:
        known = "" if now.spend_usd is not None else f" (known so far {dollars(now.known_usd)})"
        console().print(f"Spent today: {dollars(now.spend_usd)}{known}")
    for lane in now.unpriced:
        console().print(Text(f"UNPRICED: {lane['lane']}: see llmreq prices set --help", "bold red"))


def _table(title: str, rows: list[dict[str, object]], *columns: str, empty: str = "none") -> None:
    table(title, columns, [[row[name] for name in columns] for row in rows], empty=empty)
