"""`llmreq limits`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from llmreq.cli.context import ready_connection
from llmreq.cli.numbers import COUNT, NONE, NUMBER
from llmreq.cli.output import json_option, limit_option, say, shown_rows, table, write_json
from llmreq.errors import InvalidRequestError
from llmreq.governor.limits import (
    LIMITS,
    list_limits,
    list_tenants,
    pause,
    set_limits,
    set_tenant,
    tier_limits,
)


@click.group()
def limits() -> None:
    """Requests, tokens and calls at a time: per lane, per provider, and how tenants share them.

    \b
    llmreq limits list
    llmreq limits set openai/gpt-6-luna --rpm 5000 --tpm 2M
    """


@limits.command("list")
@limit_option
@json_option
def list_(limit: int | None, as_json: bool) -> None:
    """List the lanes with their limits, what the provider's headers name, and the levels now.

    \b
    llmreq limits list
    """
    with ready_connection() as connection:
        wanted = shown_rows(limit, as_json)
        lanes, tenants = list_limits(connection, limit=wanted), list_tenants(connection, limit=wanted)
    if as_json:
        write_json({"lanes": lanes.rows, "tenants": tenants.rows})
        return
    rows = [
        [
            row["lane"],
            _state(row),
            f"{row['in_flight']}" + (f" of {row['max_in_flight']}" if row["max_in_flight"] else ""),
            _limit(row, "requests"),
            _limit(row, "tokens"),
            _limit(row, "input_tokens"),
            _limit(row, "output_tokens"),
            row["safety_margin"],
            row["burst_seconds"],
        ]
        for row in lanes.rows
    ]
    columns = [
        "lane",
        "state",
        "in flight",
        "requests/min",
        "tokens/min",
        "input/min",
        "output/min",
        "margin",
        "burst s",
    ]
    table("Limits (level now)", columns, rows, empty="none: llmreq limits set --help", more=lanes.more)
    if tenants.rows:
        shares = [list(row.values()) for row in tenants.rows]
        table("Tenants", ["tenant", "weight", "paused"], shares, more=tenants.more)


@limits.command("set")
@click.argument("lane")
@click.option("--tier", help="A preset, as openai-2 or anthropic-1; options beside it win.")
@click.option("--rpm", type=COUNT, help="Requests per minute.")
@click.option("--tpm", type=COUNT, help="Tokens per minute, input and output together.")
@click.option("--itpm", type=COUNT, help="Input tokens per minute.")
@click.option("--otpm", type=COUNT, help="Output tokens per minute.")
@click.option("--in-flight", type=COUNT, help="Calls at a time, in the whole fleet.")
@click.option("--margin", type=NUMBER, help="The share of the limits to use, up to 1.")
@click.option("--burst", type=NUMBER, help="Seconds' worth an idle lane may send at once.")
@click.option(
    "--count-cap/--count-output", default=None, help="Whether the provider counts max tokens or what came."
)
@click.option("--count-cached/--no-count-cached", default=None, help="Whether cached input counts.")
@json_option
def set_(lane: str, tier: str | None, as_json: bool, **given: Any) -> None:
    """Set limits of a lane, or of PROVIDER/* for all its lanes together. NONE takes one away.

    \b
    llmreq limits set openai/gpt-6-luna --rpm 5000 --tpm 2M
    llmreq limits set 'anthropic/*' --tier anthropic-2 --in-flight 200
    """
    names = {
        **dict(zip(("rpm", "tpm", "itpm", "otpm", "in_flight"), LIMITS, strict=True)),
        "margin": "safety_margin",
        "burst": "burst_seconds",
        "count_cap": "counts_output_cap",
        "count_cached": "counts_cache_reads",
    }
    columns: dict[str, Any] = dict(tier_limits(tier)) if tier else {}
    columns |= {
        names[name]: None if value == NONE else value for name, value in given.items() if value is not None
    }
    if not columns:
        raise InvalidRequestError("nothing to set: give --rpm, --tpm, --tier, … (llmreq limits set --help)")
    with ready_connection() as connection:
        row = set_limits(connection, lane, **columns)
    if as_json:
        write_json(row)
    else:
        say(
            f"{row['lane']}: "
            + ", ".join(f"{name} {'none' if value is None else value}" for name, value in columns.items())
        )


@limits.command("tenant")
@click.argument("tenant_id")
@click.option("--weight", type=NUMBER, required=True, help="Its share beside the others'; 1 unless set.")
@json_option
def tenant(tenant_id: str, weight: Decimal, as_json: bool) -> None:
    """Give a tenant a larger or smaller share of every lane.

    \b
    llmreq limits tenant acme --weight 3
    """
    with ready_connection() as connection:
        row = set_tenant(connection, tenant_id, weight=weight)
    if as_json:
        write_json(row)
    else:
        say(f"Tenant {tenant_id} has weight {weight}.")


def _switch(
    lane: str | None, tenant_id: str | None, everything: bool, as_json: bool, *, paused: bool
) -> None:
    if (lane is not None) + (tenant_id is not None) + everything != 1:
        raise InvalidRequestError("name one: a lane (openai/gpt-6-luna, openai/*), --tenant ID, or --all")
    with ready_connection() as connection:
        if tenant_id is not None:
            row, what = set_tenant(connection, tenant_id, paused=paused), f"Tenant {tenant_id}"
        else:
            row, what = pause(connection, lane or "*/*", paused=paused), lane or "Everything"
    if as_json:
        write_json(row)
    else:
        say(f"{what} is {'paused; calls under way end' if paused else 'resumed'}.")


@limits.command("pause")
@click.argument("lane", required=False)
@click.option("--tenant", "tenant_id", help="Only this tenant.")
@click.option("--all", "everything", is_flag=True, help="The whole queue.")
@json_option
def pause_(lane: str | None, tenant_id: str | None, everything: bool, as_json: bool) -> None:
    """Start no more calls of a lane, a provider, a tenant or at all; what is under way ends.

    \b
    llmreq limits pause 'openai/*'
    llmreq limits pause --tenant acme
    """
    _switch(lane, tenant_id, everything, as_json, paused=True)


@limits.command("resume")
@click.argument("lane", required=False)
@click.option("--tenant", "tenant_id", help="Only this tenant.")
@click.option("--all", "everything", is_flag=True, help="The whole queue.")
@json_option
def resume(lane: str | None, tenant_id: str | None, everything: bool, as_json: bool) -> None:
    """Let calls start again.

    \b
    llmreq limits resume --all
    """
    _switch(lane, tenant_id, everything, as_json, paused=False)


def _state(row: dict[str, Any]) -> str:
    if row["paused"]:
        return "paused"
    if row["blocked_until"] is not None:
        return f"{row['block_reason']} until {row['blocked_until']:%H:%M:%S}"
    return "open"


def _limit(row: dict[str, Any], what: str) -> str:
    """The limit in force with its level; `*` where only the provider's headers name one, of late."""
    ours, seen = row[f"{what}_per_minute"], row[f"seen_{what}_per_minute"]
    level = row[
        "request_level" if what == "requests" else f"{what.removesuffix('_tokens').removesuffix('s')}_level"
    ]
    if ours is None and (seen is None or level is None):
        return "–"
    return f"{seen if ours is None else ours:,.0f}{'*' if ours is None else ''} ({0 if level is None else level:,.0f})"
