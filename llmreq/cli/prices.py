"""`llmreq prices`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click

from llmreq.cli.context import ready_connection
from llmreq.cli.numbers import USD
from llmreq.cli.output import json_option, say, table, write_json, write_json_lines
from llmreq.governor.prices import Price, list_prices, set_price

_BUCKETS = {
    "input": "input_usd_per_mtok",
    "cache read": "cache_read_usd_per_mtok",
    "write 5m": "cache_write_5m_usd_per_mtok",
    "write 1h": "cache_write_1h_usd_per_mtok",
    "output": "output_usd_per_mtok",
}


@click.group()
def prices() -> None:
    """The price book, in dollars per million tokens.

    \b
    llmreq prices list openai
    """


@prices.command("list")
@click.argument("lane", required=False)
@click.option("--all", "all_versions", is_flag=True, help="Also past and future versions.")
@json_option
def list_(lane: str | None, all_versions: bool, as_json: bool) -> None:
    """List prices in force, of all models, a provider or one provider/model.

    \b
    llmreq prices list openai
    """
    with ready_connection() as connection:
        found = list_prices(connection, lane, all_versions=all_versions)
    if as_json:
        write_json_lines(found)
        return
    rows = [
        [
            f"{row['provider']}/{row['model']}",
            "batch" if row["batch"] else row["service_tier"],
            row["min_prompt_tokens"] or "",
            *(row[name] for name in _BUCKETS.values()),
            row["valid_from"],
            row["source"],
        ]
        for row in found
    ]
    table(
        "Prices (USD per million tokens)",
        ["lane", "tier", "from tokens", *_BUCKETS, "valid from", "source"],
        rows,
    )


@prices.command("set")
@click.argument("lane")
@click.option("--input", "input_usd", type=USD, required=True)
@click.option("--output", "output_usd", type=USD, required=True)
@click.option(
    "--cache-read", "cache_read_usd", type=USD, help="Left out: unknown, and calls that use it unpriced."
)
@click.option("--cache-write-5m", "cache_write_5m_usd", type=USD)
@click.option("--cache-write-1h", "cache_write_1h_usd", type=USD)
@click.option(
    "--min-prompt-tokens", type=click.IntRange(min=0), default=0, help="For prompts of so many tokens on."
)
@click.option("--valid-from", type=click.DateTime(), help="UTC; default now.")
@click.option("--source", default="set by hand", show_default=True)
@json_option
def set_(
    lane: str,
    min_prompt_tokens: int,
    valid_from: datetime | None,
    source: str,
    as_json: bool,
    **buckets: Decimal | None,
) -> None:
    """Add a new version of a model's price. Calls already booked keep theirs.

    \b
    llmreq prices set openai/gpt-6-luna --input 0.25 --output 2 --cache-read 0.025
    """
    since = valid_from.replace(tzinfo=UTC) if valid_from else None
    price = Price(**buckets)  # type: ignore[arg-type]
    with ready_connection() as connection:
        id = set_price(
            connection, lane, price, valid_from=since, min_prompt_tokens=min_prompt_tokens, source=source
        )
    if as_json:
        write_json({"id": id})
    else:
        say(f"Price {id} of {lane} is in the book.")
