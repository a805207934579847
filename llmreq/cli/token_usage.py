"""`llmreq token-usage`."""

from __future__ import annotations

import csv
import sys
from typing import Any

import click

from llmreq.cli.context import ready_connection
from llmreq.cli.output import cell, json_option, money, table, tokens, visible, write_json, write_line
from llmreq.database.ask import Row
from llmreq.reports.usage import BY, usage_by, usage_total

_TITLES = {
    "model": "By model",
    "operation": "By operation",
    "agent": "By agent",
    "tenant": "By tenant",
    "run": "By run",
    "day": "By day (UTC)",
}


@click.command("token-usage")
@click.option("--days", type=click.IntRange(1, 3_660), default=7, show_default=True, help="Today is one.")
@click.option("--by", type=click.Choice(BY), help="Default: by model, and by operation.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV for spreadsheets.")
@json_option
def token_usage(days: int, by: str | None, as_csv: bool, as_json: bool) -> None:
    """Tokens and dollars of the last days. What failed, was lost or has no price is told apart.

    \b
    llmreq token-usage --days 7
    llmreq token-usage --days 30 --by tenant --csv > usage.csv
    """
    wanted = [by] if by else ["model", "operation"]
    with ready_connection() as connection:
        found = {name: usage_by(connection, name, days) for name in wanted}
        total = usage_total(connection, days)
    if as_json:
        write_json({"days": days, "total": total, **{f"by_{name}": rows for name, rows in found.items()}})
    elif as_csv:
        _write_csv(found)
    else:
        for name, rows in found.items():
            _draw(_TITLES[name], name, rows)
        for line in _summary(total, days):
            write_line(line)


def _draw(title: str, name: str, rows: list[Row]) -> None:
    table(
        title,
        [name, "calls", "input", "cached", "output", "total", "failed", "estimate off by"],
        [
            [
                row["name"],
                f"{row['calls']:,}",
                tokens(row["input_tokens"] + row["cache_write_tokens"]),
                tokens(row["cache_read_tokens"]),
                tokens(row["output_tokens"]),
                _together(row["total_tokens"], row["cost_usd"]) + _unpriced(row),
                f"{row['failed_calls']:,} ({money(row['failed_usd'])})" if row["failed_calls"] else "–",
                None if row["estimate_error"] is None else f"{row['estimate_error']:.0%}",
            ]
            for row in rows
        ],
        empty="no calls",
    )


def _summary(total: Row, days: int) -> list[str]:
    lines = [
        f"Last {days} days: {total['calls']:,} calls, {_together(total['total_tokens'], total['cost_usd'])}"
    ]
    if total["failed_calls"]:
        lines.append(f"of it failed calls: {total['failed_calls']:,} ({money(total['failed_usd'])})")
    if total["lost_calls"]:
        lines.append(
            f"of it lost calls, at the most they can have cost: {total['lost_calls']:,} ({money(total['upper_bound_usd'])})"
        )
    if total["unpriced_calls"]:
        lines.append(
            f"UNPRICED beside it: {total['unpriced_calls']:,} calls, {tokens(total['unpriced_tokens'])} tokens of unknown cost:"
            " llmreq prices set, then llmreq prices reprice"
        )
    return lines


def _together(count: int, usd: Any) -> str:
    return f"{tokens(count)} tokens ({money(usd)})"


def _unpriced(row: Row) -> str:
    return f" + {row['unpriced_calls']:,} UNPRICED" if row["unpriced_calls"] else ""


def _write_csv(found: dict[str, list[Row]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    header = False
    for name, rows in found.items():
        for row in rows:
            if not header:
                writer.writerow(["by", *row])
                header = True
            writer.writerow([name, *map(_csv_cell, row.values())])


def _csv_cell(value: Any) -> str:
    """A name in full: a spreadsheet joins on it."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) else cell(value)
