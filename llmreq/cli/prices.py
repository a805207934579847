"""`llmreq prices`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePath
from typing import BinaryIO

import click

from llmreq.cli.context import ready_connection
from llmreq.cli.numbers import USD
from llmreq.cli.output import json_option, say, table, write_json, write_json_lines
from llmreq.database.ask import Row
from llmreq.errors import InvalidRequestError
from llmreq.governor.price_files import (
    PriceFile,
    detect_form,
    only_providers,
    read_price_file,
    usual_providers,
    write_csv,
)
from llmreq.governor.price_row import EVER, PriceRow
from llmreq.governor.prices import Price, import_prices, list_prices, price_rows, reprice, set_price
from llmreq.limits import MAX_PRICE_FILE_BYTES
from llmreq.settings import load_settings

_BUCKETS = {
    "input": "input_usd_per_mtok",
    "cache read": "cache_read_usd_per_mtok",
    "write 5m": "cache_write_5m_usd_per_mtok",
    "write 1h": "cache_write_1h_usd_per_mtok",
    "output": "output_usd_per_mtok",
}

_SKIPPED_SHOWN = 20


@click.group()
def prices() -> None:
    """The price book, in dollars per million tokens.

    \b
    llmreq prices list openai
    """


@prices.command("list")
@click.argument("lane", required=False)
@click.option("--all", "all_versions", is_flag=True, help="Also past and future versions.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV, which llmreq prices import reads.")
@json_option
def list_(lane: str | None, all_versions: bool, as_csv: bool, as_json: bool) -> None:
    """List prices in force, of all models, a provider or one provider/model.

    \b
    llmreq prices list openai
    llmreq prices list --csv > prices.csv
    """
    if as_csv and as_json:
        raise click.UsageError("write --csv or --json, not both")
    with ready_connection() as connection:
        found = list_prices(connection, lane, all_versions=all_versions)
    if as_csv:
        try:
            click.echo(write_csv(price_rows(found)), nl=False)
        except ValueError as error:
            raise InvalidRequestError(f"a price in the book fits no list: {error}") from None
    elif as_json:
        write_json_lines(found)
    else:
        _show("Prices (USD per million tokens)", found)


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
    input_usd: Decimal,
    output_usd: Decimal,
    **cache_usd: Decimal | None,
) -> None:
    """Add a new version of a model's price. Calls already booked keep theirs.

    \b
    llmreq prices set openai/gpt-6-luna --input 0.25 --output 2 --cache-read 0.025
    """
    since = valid_from.replace(tzinfo=UTC) if valid_from else None
    price = Price(input_usd, output_usd, **cache_usd)
    with ready_connection() as connection:
        id = set_price(
            connection, lane, price, valid_from=since, min_prompt_tokens=min_prompt_tokens, source=source
        )
    if as_json:
        write_json({"id": id})
    else:
        say(f"Price {id} of {lane} is in the book.")


@prices.command("import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--valid-from", type=click.DateTime(), help="UTC; default now. For prices that name no date of their own."
)
@click.option("--provider", "providers", multiple=True, help="Only this provider's prices; repeatable.")
@click.option("--dry-run", is_flag=True, help="Show what would be added, and add nothing.")
@json_option
def import_(
    file: BinaryIO, valid_from: datetime | None, providers: tuple[str, ...], dry_run: bool, as_json: bool
) -> None:
    """Add the prices of a list that differ from those in force. Calls already booked keep theirs.

    FILE (- is stdin) is a CSV with the columns of llmreq prices list --csv, a TOML of [[price]] tables with the
    same names, or the JSON price list of LiteLLM or Langfuse. Of those two lists only the providers that are
    configured or in the price book are taken, unless --provider names others.

    \b
    llmreq prices import prices.csv --dry-run
    llmreq prices import model_prices_and_context_window.json --provider openai --provider anthropic
    """
    since = valid_from.replace(tzinfo=UTC) if valid_from else None
    name = PurePath(getattr(file, "name", "<stdin>")).name.strip("<>")
    text = _text(file, name)
    try:
        read = read_price_file(text, name=name, valid_from=since)
    except ValueError as error:
        raise InvalidRequestError(f"{name}: {error}") from None
    foreign = detect_form(text) in ("litellm", "langfuse")
    with ready_connection() as connection:
        if providers:
            read = _only(read, providers, name)
        elif foreign:
            booked = {row["provider"] for row in list_prices(connection, all_versions=True)}
            read = usual_providers(read, booked | load_settings().providers.keys())
        imported = import_prices(connection, read, dry_run=dry_run)
    if as_json:
        write_json(
            {**asdict(imported), "added": [_listed(row) for row in imported.added], "dry_run": dry_run}
        )
        return
    if dry_run:
        _show("Prices to add (USD per million tokens)", map(_listed, imported.added))
    for line in imported.skipped[:_SKIPPED_SHOWN]:
        say(f"skipped: {line}")
    if (more := len(imported.skipped) - _SKIPPED_SHOWN) > 0:
        say(f"skipped: and {more} more, which --json lists")
    say(
        f"{len(imported.added)} prices {'would be ' if dry_run else ''}added, {imported.unchanged} unchanged, "
        f"{len(imported.skipped)} remarks."
    )


def _text(file: BinaryIO, name: str) -> str:
    content = file.read(MAX_PRICE_FILE_BYTES + 1)
    if len(content) > MAX_PRICE_FILE_BYTES:
        raise InvalidRequestError(f"{name} is larger than {MAX_PRICE_FILE_BYTES:,} bytes: no price list is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from None


def _only(read: PriceFile, providers: tuple[str, ...], name: str) -> PriceFile:
    there = {row.provider for row in read.rows}
    if missing := set(providers) - there:
        raise InvalidRequestError(
            f"{name} has no price of {min(missing)}, only of {', '.join(sorted(there)) or 'nobody'}"
        )
    return only_providers(read, providers)


def _listed(row: PriceRow) -> Row:
    """As `list_prices` says it: no date for what holds since ever."""
    return asdict(row) | ({"valid_from": None} if row.valid_from == EVER else {})


def _show(title: str, found: Iterable[Row]) -> None:
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
    table(title, ["lane", "tier", "from tokens", *_BUCKETS, "valid from", "source"], rows)


@prices.command("reprice")
@click.option(
    "--from", "since", type=click.DateTime(["%Y-%m-%d"]), required=True, help="UTC day, as 2026-11-01."
)
@click.option("--lane", help="Only this provider/model.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@json_option
def reprice_(since: datetime, lane: str | None, dry_run: bool, as_json: bool) -> None:
    """Price calls again by the book as it is now. Corrections are appended to the ledger; nothing booked is rewritten.

    \b
    llmreq prices set openai/gpt-6-luna --input 0.1 --output 0.5 --valid-from 2026-11-01
    llmreq prices reprice --from 2026-11-01 --dry-run
    """
    with ready_connection() as connection:
        changes = [row for row in reprice(connection, since.date(), lane, dry_run=dry_run) if row["calls"]]
    if as_json:
        write_json({"dry_run": dry_run, "changes": changes})
        return
    table(
        "Would be corrected" if dry_run else "Corrected",
        ["day", "lane", "calls", "of them unpriced", "were USD", "are USD"],
        [
            [row["day"], row["lane"], row["calls"], row["priced"], row["was_usd"], row["is_usd"]]
            for row in changes
        ],
        empty="nothing: the book says what was booked",
    )
