"""Looks at everything a healthy installation needs and says, line by line, what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from llmreq.database.ask import Row, ask
from llmreq.database.connection import connect
from llmreq.database.migrate import require_current
from llmreq.database.page import ask_page
from llmreq.errors import DatabaseUnavailableError
from llmreq.reports.lanes import read_lanes
from llmreq.settings import Settings

OLDEST_POSTGRES, NEWEST_POSTGRES = 14, 18
LONG_SNAPSHOT_SECONDS = 300
"""A transaction older than this keeps dead rows alive that every poll then walks over."""
MANY_DEAD_ROWS = 10_000
DEAD_RATIO = 0.5
LEDGER_LINES = 5
LANE_LINES = 20
WORKERS_LOOKED_AT = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `remedy` is empty when there is nothing to do."""

    check: str
    level: Literal["ok", "warn", "fail"]
    message: str
    remedy: str = ""


Findings = Iterator[Finding]


def diagnose(settings: Settings, find_url: Callable[[], str]) -> Findings:
    """Every finding, as it is made; ends early where no more can be said. `find_url` may start a server."""
    try:
        url = find_url()
        connection = connect(url, application_name="llmreq doctor")
    except DatabaseUnavailableError as error:
        yield Finding("database", "fail", error.message, "start Postgres, or unset LLMREQ_DATABASE_URL")
        yield from _providers(settings, {})
        return
    with connection:
        yield _version(connection)
        try:
            require_current(url)
        except DatabaseUnavailableError as error:
            yield Finding("schema", "fail", error.message, "run llmreq migrate")
            yield from _providers(settings, {})
            return
        yield Finding("schema", "ok", "current")
        wanted = {row["provider"]: row for row in ask(connection, "pending_by_provider")}
        yield from _workers(connection, bool(wanted))
        yield from _providers(settings, wanted)
        yield from _lanes(connection)
        for check in (_partitions, _snapshot, _dead_rows, _ledger):
            yield from check(connection)


def _version(connection: psycopg.Connection[Any]) -> Finding:
    major = connection.info.server_version // 10_000
    if OLDEST_POSTGRES <= major <= NEWEST_POSTGRES:
        return Finding("database", "ok", f"Postgres {major} answers")
    level: Literal["warn", "fail"] = "fail" if major < OLDEST_POSTGRES else "warn"
    remedy = f"llmreq is tested with {OLDEST_POSTGRES} to {NEWEST_POSTGRES}"
    return Finding("database", level, f"Postgres {major} answers", remedy)


def _workers(connection: psycopg.Connection[Any], work: bool) -> Findings:
    page = ask_page(connection, "workers", limit=WORKERS_LOOKED_AT)
    rows = page.rows
    healthy = [row for row in rows if row["healthy"]]
    if healthy:
        versions = {row["version"] for row in healthy}
        yield Finding("workers", "ok", f"{len(healthy)} alive")
        if len(versions) > 1:
            yield Finding(
                "workers", "warn", f"versions {', '.join(sorted(versions))} run side by side", "upgrade all"
            )
    elif work:
        yield Finding("workers", "fail", "requests are pending and no worker is alive", "run llmreq worker")
    else:
        yield Finding("workers", "warn", "none is alive", "run llmreq worker")
    if len(rows) > len(healthy) and not healthy:
        yield Finding("workers", "warn", f"{len(rows)} died and wait for their rescue", "run llmreq worker")


def _providers(settings: Settings, wanted: dict[str, Row]) -> Findings:
    usable = [name for name, provider in settings.providers.items() if provider.usable]
    for name, provider in settings.providers.items():
        if provider.usable:
            yield Finding(f"provider {name}", "ok", f"configured ({provider.api})")
        elif name in wanted and wanted[name]["lanes"] != ["local/rules"]:
            lanes = _some(wanted[name]["lanes"], wanted[name]["lane_count"])
            yield Finding(
                f"provider {name}", "fail", f"{provider.why_not}; requests wait in {lanes}", "configure it"
            )
        else:
            yield Finding(f"provider {name}", "ok", f"not in use: {provider.why_not}")
    if not usable:
        yield Finding(
            "providers", "warn", "none can be called, only local/rules", "set OPENAI_API_KEY or another"
        )


def _some(names: list[str], count: int) -> str:
    more = f" and {count - len(names):,} more" if count > len(names) else ""
    return ", ".join(names) + more


def _lanes(connection: psycopg.Connection[Any]) -> Findings:
    with connection.transaction():
        ask(connection, "wide_look")
        lanes = read_lanes(connection, LANE_LINES)
    for lane in lanes.blocked.rows:
        if lane["state"] != "probing":
            until = f" until {lane['blocked_until']:%H:%M:%S}" if lane["blocked_until"] else ""
            message = f"{lane['state']}{until}: {lane['block_message'] or 'set by hand'}"
            yield Finding(f"lane {lane['lane']}", "warn", message, "see llmreq status")
    if lanes.blocked.more:
        yield Finding("lanes", "warn", f"{lanes.blocked.more:,} more are closed", "see llmreq status")
    for lane in lanes.unpriced.rows:
        message = (
            f"has no price: {lane['unpriced_calls']} calls of today and yesterday cost nobody knows what"
        )
        yield Finding(f"lane {lane['lane']}", "warn", message, f"run llmreq prices set {lane['lane']}")
    if lanes.unpriced.more:
        yield Finding("lanes", "warn", f"{lanes.unpriced.more:,} more have no price", "see llmreq status")


def _partitions(connection: psycopg.Connection[Any]) -> Findings:
    (row,) = ask(connection, "doctor_partitions")
    if row["ahead"] < 2:
        remedy = "a running worker makes them; or SELECT llmreq_ensure_partitions()"
        yield Finding("partitions", "warn", f"the ledger has {row['ahead']} of the next 7 days", remedy)
    else:
        yield Finding("partitions", "ok", f"the ledger has {row['ahead']} of the next 7 days")
    if row["default_used"]:
        remedy = "harmless; they are kept in llm_attempts_default"
        yield Finding("partitions", "warn", "some calls were booked on a day without a partition", remedy)


def _snapshot(connection: psycopg.Connection[Any]) -> Findings:
    rows = ask(connection, "doctor_oldest_snapshot")
    if rows and rows[0]["seconds"] > LONG_SNAPSHOT_SECONDS:
        row = rows[0]
        message = (
            f"pid {row['pid']} ({row['application_name']}, {row['state']}) is open for {row['seconds']:.0f} s"
        )
        yield Finding("transactions", "warn", f"{message}: dead rows pile up", "end that transaction")
    else:
        yield Finding("transactions", "ok", "none is old")


def _dead_rows(connection: psycopg.Connection[Any]) -> Findings:
    for row in ask(connection, "doctor_dead_tuples"):
        if row["dead"] > MANY_DEAD_ROWS and row["dead"] > DEAD_RATIO * (row["live"] + row["dead"]):
            message = f"{row['relname']} holds {row['dead']} dead rows beside {row['live']} live ones"
            yield Finding("vacuum", "warn", message, f"check autovacuum; VACUUM {row['relname']}")
            return
    yield Finding("vacuum", "ok", "dead rows are cleared")


def _ledger(connection: psycopg.Connection[Any]) -> Findings:
    rows = ask(connection, "ledger_check", limit=LEDGER_LINES)
    for row in rows:
        message = f"{row['check_name']} of {row['subject']}: should be {row['expected']}, is {row['actual']}"
        yield Finding("ledger", "fail", message, "SELECT * FROM llmreq_ledger_check, and report it")
    if not rows:
        yield Finding("ledger", "ok", "the books balance")
