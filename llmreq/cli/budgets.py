"""`llmreq budgets`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from llmreq.cli.context import ready_connection
from llmreq.cli.numbers import COUNT, NONE, USD
from llmreq.cli.output import (
    dollars,
    json_option,
    limit_option,
    say,
    shown_rows,
    table,
    tokens,
    write_json,
    write_line,
)
from llmreq.errors import InvalidRequestError
from llmreq.governor.budgets import (
    ON_EXHAUSTED,
    PERIODS,
    WARNED,
    budget_periods,
    list_budgets,
    money_settings,
    remove_budget,
    set_budget,
    set_ceiling,
    set_warning,
)


@click.group()
def budgets() -> None:
    """Hard caps in dollars or tokens: for everything, a tenant, agent, task type, model, provider or run.

    \b
    llmreq budgets set tenant:acme --usd 50 --per day --on-exhausted wait
    llmreq budgets list
    """


@budgets.command("list")
@limit_option
@json_option
def list_(limit: int | None, as_json: bool) -> None:
    """List budgets with what is spent, what calls under way hold, what is left and what waits.

    \b
    llmreq budgets list
    """
    with ready_connection() as connection:
        page = list_budgets(connection, limit=shown_rows(limit, as_json))
        found, settings = page.rows, money_settings(connection)
    if as_json:
        write_json({"budgets": found, "settings": settings})
        return
    rows = [
        [
            row["budget"],
            row["period"],
            _of(row, "usd"),
            _of(row, "tokens"),
            None if row["used"] is None else f"{row['used']:.1%}",
            row["on_exhausted"],
            row["waiting"],
            row["resets_at"],
        ]
        for row in found
    ]
    columns = [
        "budget",
        "per",
        "spent + held of USD",
        "… of tokens",
        "used",
        "then",
        "waiting",
        "begins anew",
    ]
    table("Budgets", columns, rows, empty="none: llmreq budgets set --help", more=page.more)
    for name, value in settings.items():
        write_line(f"{name.replace('_', ' ')}: {value}")


@budgets.command("set")
@click.argument("budget")
@click.option("--usd", type=USD, help="Dollars a period.")
@click.option("--tokens", "token_limit", type=COUNT, help="Tokens a period, input and output.")
@click.option(
    "--per",
    "period",
    type=click.Choice(PERIODS),
    help="UTC. Needed for a new budget, or if it has several.",
)
@click.option(
    "--on-exhausted",
    type=click.Choice(ON_EXHAUSTED),
    help="wait (default), fail, or degrade to the local tier.",
)
@click.option("--warn-at", multiple=True, type=USD, help="Share of the limit; again for more. Default 0.8.")
@json_option
def set_(
    budget: str,
    usd: Decimal | None,
    token_limit: int | str | None,
    period: str | None,
    on_exhausted: str | None,
    warn_at: tuple[Decimal, ...],
    as_json: bool,
) -> None:
    """Make or change a budget: all, tenant:ID, agent:ID, task_type:NAME, model:NAME, provider:NAME or run:UUID.

    It begins with what its period has cost already. Raising it wakes what waits.

    \b
    llmreq budgets set tenant:acme --usd 50 --per day --on-exhausted wait
    llmreq budgets set tenant:acme --usd 80
    """
    if token_limit == NONE:
        raise InvalidRequestError("to take a limit away, remove the budget: llmreq budgets remove")
    with ready_connection() as connection:
        row = set_budget(
            connection,
            budget,
            period=period or _only_period(budget_periods(connection, budget), budget),
            usd=usd,
            tokens=None if token_limit is None else int(token_limit),
            on_exhausted=on_exhausted,
            warn_at=warn_at or None,
        )
    if as_json:
        write_json(row)
        return
    limits = " and ".join(
        text
        for text in (
            row["limit_usd"] is not None
            and f"{dollars(row['limit_usd'])} ({dollars(row['spent_usd'])} spent)",
            row["limit_tokens"] is not None
            and f"{tokens(row['limit_tokens'])} tokens ({tokens(row['spent_tokens'])} spent)",
        )
        if text
    )
    say(f"{row['budget']} per {row['period']}: {limits}, then {row['on_exhausted']}")


@budgets.command("remove")
@click.argument("budget")
@click.option("--per", "period", type=click.Choice(PERIODS), help="Only this one; default all its periods.")
@json_option
def remove(budget: str, period: str | None, as_json: bool) -> None:
    """Take a budget away. What waited for it may run.

    \b
    llmreq budgets remove tenant:acme --per day
    """
    with ready_connection() as connection:
        count = remove_budget(connection, budget, period)
    if as_json:
        write_json({"removed": count})
    else:
        say(f"{budget} is no longer a budget.")


@budgets.command("ceiling")
@click.argument("usd_per_million_tokens")
@json_option
def ceiling(usd_per_million_tokens: str, as_json: bool) -> None:
    """What a million tokens of a model without a price count for in budgets; NONE: such requests fail there.

    The bill of such a call stays unknown; only budgets use the ceiling.

    \b
    llmreq budgets ceiling 100
    """
    value = (
        None
        if usd_per_million_tokens.lower() == NONE
        else USD.convert(usd_per_million_tokens, None, click.get_current_context())
    )
    with ready_connection() as connection:
        set_ceiling(connection, value)
    if as_json:
        write_json({"unpriced_usd_per_mtok": value})
    else:
        say("Unpriced models " + (f"count {dollars(value)} a million tokens." if value else "are refused."))


@budgets.command("warn")
@click.argument("what", type=click.Choice(WARNED))
@click.option("--usd", type=USD)
@click.option("--tokens", "token_limit", type=COUNT)
@json_option
def warn(what: str, usd: Decimal | None, token_limit: Any, as_json: bool) -> None:
    """Log a warning once for each request, or each run, that comes to so many dollars or tokens. Neither: no warning.

    \b
    llmreq budgets warn request --usd 0.50
    llmreq budgets warn run --usd 20 --tokens 10M
    """
    with ready_connection() as connection:
        set_warning(
            connection, what, usd=usd, tokens=None if token_limit in (None, NONE) else int(token_limit)
        )
        settings = money_settings(connection)
    if as_json:
        write_json(settings)
    else:
        say(
            "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
            or "No warnings."
        )


def _only_period(periods: list[str], budget: str) -> str:
    if len(periods) == 1:
        return periods[0]
    raise InvalidRequestError(
        f"{budget} has budgets per {' and '.join(periods)}: say which with --per"
        if periods
        else "say --per hour, day, month or total"
    )


def _of(row: dict[str, Any], what: str) -> str | None:
    if row[f"limit_{what}"] is None:
        return None
    shown = dollars if what == "usd" else tokens
    held = f" + {shown(row[f'held_{what}'])}" if row[f"held_{what}"] else ""
    return f"{shown(row[f'spent_{what}'])}{held} of {shown(row[f'limit_{what}'])}"
