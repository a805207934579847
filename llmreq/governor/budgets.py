"""Budgets: hard caps in dollars or tokens on what an hour, a day, a month or all of time may cost.

Rows of `llm_budgets`, which plain SQL may write as well: its triggers count what the period has cost already.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from llmreq.database.ask import Row, ask
from llmreq.database.page import Page, ask_page
from llmreq.errors import InvalidRequestError
from llmreq.governor.bounds import require_above_zero, require_between, require_bytes
from llmreq.limits import (
    MAX_BUDGET_TOKENS,
    MAX_BUDGET_USD,
    MAX_SETTING_USD,
    MAX_SUBJECT_BYTES,
    MAX_USD_DECIMALS,
    MAX_WARN_SHARE,
    MAX_WARN_SHARES,
)

SCOPES = ("all", "tenant", "agent", "task_type", "model", "provider", "run")
PERIODS = ("hour", "day", "month", "total")
ON_EXHAUSTED = ("wait", "fail", "degrade")
WARNED = ("request", "run")
"""What a spend warning can be set for."""

LOCK_SECONDS = 10
"""A new budget waits this long for claims and finishes under way, which last milliseconds."""


def list_budgets(connection: psycopg.Connection[Any], *, limit: int | None = None) -> Page:
    """Budgets in their present period: spent and held apart, what is left, how many requests wait for each."""
    return ask_page(connection, "list_budgets", id=None, by_use=False, limit=limit)


def budget_periods(connection: psycopg.Connection[Any], budget: str) -> list[str]:
    """The periods that this name has a budget for. Raises InvalidRequestError."""
    scope, subject = split_budget(budget)
    found = ask(connection, "find_budget", scope=scope, subject=subject, period=None)
    return [row["period"] for row in found]


def set_budget(
    connection: psycopg.Connection[Any],
    budget: str,
    *,
    period: str,
    usd: Decimal | None = None,
    tokens: int | None = None,
    on_exhausted: str | None = None,
    warn_at: Sequence[Decimal] | None = None,
) -> Row:
    """Make or change the budget `all`, `tenant:acme`, `model:openai/gpt-6-luna`, …; what is None stays as it was.

    A new one begins with what its period has cost already. Raises InvalidRequestError.
    """
    scope, subject = split_budget(budget)
    _check(period, usd, tokens, on_exhausted, warn_at)
    if (
        usd is None
        and tokens is None
        and not ask(connection, "find_budget", scope=scope, subject=subject, period=period)
    ):
        raise InvalidRequestError("say how much: usd, tokens or both")
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_SECONDS}s",))
        rows = ask(
            connection,
            "set_budget",
            scope=scope,
            subject=subject,
            period=period,
            limit_usd=usd,
            limit_tokens=tokens,
            keep_usd=usd is None,
            keep_tokens=tokens is None,
            on_exhausted=on_exhausted,
            warn_at=None if warn_at is None else list(warn_at),
        )
    return ask_page(connection, "list_budgets", id=rows[0]["id"], by_use=False, limit=1).rows[0]


def remove_budget(connection: psycopg.Connection[Any], budget: str, period: str | None = None) -> int:
    """Take a budget away, of one period or of all; what waited for it may run. Raises InvalidRequestError if there is none."""
    scope, subject = split_budget(budget)
    rows = ask(connection, "remove_budget", scope=scope, subject=subject, period=period)
    if not rows:
        per = f" per {period}" if period else ""
        raise InvalidRequestError(f"there is no budget {budget}{per}: llmreq budgets list shows them")
    return len(rows)


def set_ceiling(connection: psycopg.Connection[Any], usd_per_mtok: Decimal | None) -> None:
    """What a million tokens of an unpriced model count for in budgets; None: such requests fail where a budget covers them."""
    if usd_per_mtok is not None:
        require_above_zero("a ceiling in dollars per million tokens", usd_per_mtok, MAX_SETTING_USD)
    _put(connection, "unpriced_usd_per_mtok", usd_per_mtok)


def set_warning(
    connection: psycopg.Connection[Any], what: str, *, usd: Decimal | None, tokens: int | None
) -> None:
    """Warn once when one `request`, or one `run`, has come to so many dollars or tokens; None: not by that measure."""
    if what not in WARNED:
        raise InvalidRequestError(f"a warning is for a {' or a '.join(WARNED)}, not {what!r}")
    if usd is not None:
        require_above_zero("usd", usd, MAX_SETTING_USD)
    if tokens is not None:
        require_between("tokens", tokens, 1, MAX_BUDGET_TOKENS)
    _put(connection, f"warn_{what}_usd", usd)
    _put(connection, f"warn_{what}_tokens", tokens)


def money_settings(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The ceiling and the warnings that are set, by name."""
    return {row["key"]: row["value"] for row in ask(connection, "list_money_settings")}


def split_budget(budget: str) -> tuple[str, str]:
    """`tenant:acme` → ("tenant", "acme"). Raises InvalidRequestError."""
    scope, _, subject = budget.partition(":")
    if scope not in SCOPES:
        raise InvalidRequestError(
            f"a budget is named all, or SCOPE:NAME with one of {', '.join(SCOPES[1:])}; not {budget!r}"
        )
    if (scope == "all") != (subject == ""):
        raise InvalidRequestError(
            "the budget all takes no name" if scope == "all" else f"which {scope}? Name it: {scope}:NAME"
        )
    require_bytes(f"the {scope}'s name", subject, MAX_SUBJECT_BYTES)
    if scope == "run":
        try:
            subject = str(UUID(subject))
        except ValueError:
            raise InvalidRequestError(f"a run is named by its UUID, not {subject!r}") from None
    return scope, subject


def _check(
    period: str,
    usd: Decimal | None,
    tokens: int | None,
    on_exhausted: str | None,
    warn_at: Sequence[Decimal] | None,
) -> None:
    if period not in PERIODS:
        raise InvalidRequestError(f"a budget is per {', '.join(PERIODS)}; not {period!r}")
    if on_exhausted is not None and on_exhausted not in ON_EXHAUSTED:
        raise InvalidRequestError(f"on_exhausted is {', '.join(ON_EXHAUSTED)}; not {on_exhausted!r}")
    if usd is not None:
        require_between("a budget in dollars", usd, 0, MAX_BUDGET_USD)
    if tokens is not None:
        require_between("a budget in tokens", tokens, 0, MAX_BUDGET_TOKENS)
    if len(warn_at or ()) > MAX_WARN_SHARES:
        raise InvalidRequestError(f"a budget has at most {MAX_WARN_SHARES} warning thresholds")
    for share in warn_at or ():
        require_above_zero("a warning threshold is a share, as 0.8, which", share, MAX_WARN_SHARE)


def _put(connection: psycopg.Connection[Any], key: str, value: Decimal | int | None) -> None:
    if value is None:
        ask(connection, "delete_meta", key=key)
    else:
        ask(
            connection, "set_meta", key=key, value=_exact(value) if isinstance(value, Decimal) else str(value)
        )


def _exact(usd: Decimal) -> str:
    """With so many decimals as a price may have."""
    exponent = usd.as_tuple().exponent
    finer = isinstance(exponent, int) and -exponent > MAX_USD_DECIMALS
    return f"{round(usd, MAX_USD_DECIMALS) if finer else usd:f}"
