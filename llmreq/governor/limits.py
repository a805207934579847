"""Limits of lanes, shares of tenants, and pauses: rows of `llm_lanes` and `llm_tenants`, which plain SQL may write as well."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from llmreq.database.ask import Row, ask
from llmreq.database.page import Page, ask_page
from llmreq.errors import InvalidRequestError
from llmreq.governor.bounds import Number, require_between, require_bytes
from llmreq.governor.lanes import split_lane
from llmreq.limits import (
    LABEL_BYTES,
    MAX_BURST_SECONDS,
    MAX_LANE_IN_FLIGHT,
    MAX_PER_MINUTE,
    MAX_WEIGHT,
    MIN_BURST_SECONDS,
    MIN_PER_MINUTE,
    MIN_SAFETY_MARGIN,
    MIN_WEIGHT,
)

LIMITS = (
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "max_in_flight",
)
"""Columns that bound a lane; NULL is no limit of ours."""

TUNING = ("safety_margin", "burst_seconds", "counts_output_cap", "counts_cache_reads")
"""Columns that say how a limit is kept."""

_BOUNDS: dict[str, tuple[Number, Number]] = {
    **dict.fromkeys(LIMITS[:4], (MIN_PER_MINUTE, MAX_PER_MINUTE)),
    "max_in_flight": (1, MAX_LANE_IN_FLIGHT),
    "safety_margin": (MIN_SAFETY_MARGIN, 1),
    "burst_seconds": (MIN_BURST_SECONDS, MAX_BURST_SECONDS),
}
"""From and to, as the table's own check has them."""


def list_limits(connection: psycopg.Connection[Any], *, limit: int | None = None) -> Page:
    """Lanes that have limits, were called or are paused, with their levels as they are now."""
    return ask_page(connection, "list_limits", limit=limit)


def set_limits(connection: psycopg.Connection[Any], lane: str, **columns: Any) -> Row:
    """Set these columns of `provider/model`, or of `provider/*` for all its lanes together; the others stay.

    None takes a limit away. Raises InvalidRequestError.
    """
    provider, model = split_lane(lane)
    if unknown := columns.keys() - {*LIMITS, *TUNING}:
        raise InvalidRequestError(f"{min(unknown)} is no limit: use {', '.join((*LIMITS, *TUNING))}")
    for name, value in columns.items():
        if value is not None and name in _BOUNDS:
            require_between(name, value, *_BOUNDS[name])
    return _put(connection, provider, model, columns)


def pause(connection: psycopg.Connection[Any], lane: str, *, paused: bool) -> Row:
    """Pause or resume a lane, all lanes of a provider (`openai/*`), or everything (`*/*`). Raises InvalidRequestError."""
    provider, model = split_lane(lane)
    return _put(connection, provider, model, {"paused": paused})


def set_tenant(
    connection: psycopg.Connection[Any],
    tenant_id: str,
    *,
    weight: Decimal | None = None,
    paused: bool | None = None,
) -> Row:
    """Set a tenant's weight (its share of a lane beside the others', 1 unless said) or pause it. Raises InvalidRequestError."""
    if weight is not None:
        require_between("a weight", weight, MIN_WEIGHT, MAX_WEIGHT)
    require_bytes("the tenant's name", tenant_id, LABEL_BYTES["tenant_id"])
    return ask(connection, "set_tenant", tenant_id=tenant_id, weight=weight, paused=paused)[0]


def list_tenants(connection: psycopg.Connection[Any], *, limit: int | None = None) -> Page:
    """Tenants with a weight or a pause of their own."""
    return ask_page(connection, "list_tenants", limit=limit)


@cache
def tiers() -> dict[str, dict[str, Any]]:
    """The presets of `tiers.toml` by name, as `openai-1`."""
    with (Path(__file__).parent / "tiers.toml").open("rb") as file:
        return tomllib.load(file)


def tier_limits(name: str) -> dict[str, int]:
    """The limits of one preset. Raises InvalidRequestError."""
    if name not in tiers():
        raise InvalidRequestError(f"there is no tier {name!r}: use {', '.join(tiers())}")
    return {column: value for column, value in tiers()[name].items() if column in LIMITS}


def _put(connection: psycopg.Connection[Any], provider: str, model: str, columns: dict[str, Any]) -> Row:
    names = [sql.Identifier(name) for name in columns]
    changes = sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(name) for name in names)
    statement = sql.SQL(
        "INSERT INTO llm_lanes AS l (lane, provider, model{names}) VALUES (%s, %s, %s{marks})"
        " ON CONFLICT (lane) DO UPDATE SET {changes}updated_at = llmreq_now() RETURNING *"
    ).format(
        names=sql.SQL("").join(sql.SQL(", {}").format(name) for name in names),
        marks=sql.SQL(", %s" * len(names)),
        changes=changes + sql.SQL(", ") if names else sql.SQL(""),
    )
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        cursor.execute(statement, (f"{provider}/{model}", provider, model, *columns.values()))
        row: Row = cursor.fetchone() or {}
        if model == "*":
            cursor.execute("SELECT llmreq_tidy()")  # counts what is in flight already
    return row
