"""What no price, weight, limit, budget, agent or route can be, whoever writes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from psycopg import sql

from llmreq import limits
from llmreq.database.connection import sqlalchemy_url
from llmreq.database.migrate import _config, migrate, require_current
from tests.engine.queue import Queue

VALID: dict[str, dict[str, Any]] = {
    "llm_prices": {"provider": "p", "model": "m", "valid_from": "-infinity", "input_usd_per_mtok": 1, "source": "test"},
    "llm_tenants": {"tenant_id": "acme"},
    "llm_lanes": {"lane": "p/m", "provider": "p", "model": "m"},
    "llm_budgets": {"scope": "tenant", "subject": "acme", "period": "day", "limit_usd": 1},
    "llm_agents": {"name": "a", "version": 1, "system_prompt": "x"},
    "llm_models": {"provider": "p", "model": "m", "context_tokens": 1000, "source": "test"},
    "llm_routes": {"task_type": "t", "candidates": ["p/m"]},
    "llmreq_meta": {"key": "unpriced_usd_per_mtok", "value": "1"},
}  # fmt: skip

NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
RATES = ("requests_per_minute", "tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")
LEVELS = ("request_level", "token_level", "input_level", "output_level", "mean_output_tokens", "virtual_time")
BUCKETS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")

REFUSED: list[tuple[str, str, Any]] = [
    *(("llm_prices", f"{name}_usd_per_mtok", value) for name in BUCKETS for value in (*NO_NUMBERS, -1, 1_000_001)),
    ("llm_prices", "output_usd_per_mtok", "0." + "1" * 21),
    ("llm_prices", "model", "m" * 501),
    *(("llm_tenants", "weight", value) for value in (*NO_NUMBERS, 0, -1, "1e-320", 1_000_001)),
    ("llm_tenants", "tenant_id", "t" * 501),
    *(("llm_lanes", name, value) for name in RATES for value in (*NO_NUMBERS, 0, "1e-320", "1000000000001")),
    *(("llm_lanes", f"seen_{name}", value) for name in RATES for value in (*NO_NUMBERS, -1, "1e13")),
    *(("llm_lanes", "safety_margin", value) for value in (*NO_NUMBERS, 0, "1e-320", "1.01")),
    *(("llm_lanes", "burst_seconds", value) for value in (*NO_NUMBERS, 0, "1e-320", 3601)),
    *(("llm_lanes", "max_in_flight", value) for value in (0, -1, 1_000_001)),
    *(("llm_lanes", name, value) for name in LEVELS for value in NO_NUMBERS),
    *(("llm_lanes", name, 2**31 - 1) for name in ("in_flight", "consecutive_failures", "breaker_opened")),
    ("llm_lanes", "turns", 2**63 - 1),
    ("llm_lanes", "refilled_at", "infinity"),
    *(("llm_budgets", "limit_usd", value) for value in (*NO_NUMBERS, -1, "1000000000001")),
    *(("llm_budgets", "limit_tokens", value) for value in (-1, 10**15 + 1)),
    *(("llm_budgets", "warn_at", [Decimal(value)]) for value in (*NO_NUMBERS, 0, -1, "10.1")),
    ("llm_budgets", "warn_at", [None]),
    ("llm_budgets", "warn_at", [Decimal("0.5")] * 21),
    *(("llm_budgets", name, value) for name in ("held_usd", "needs_usd", "spent_usd", "warned") for value in NO_NUMBERS),
    *(("llm_budgets", name, 2**63 - 1) for name in ("held_tokens", "needs_tokens", "spent_tokens")),
    ("llm_budgets", "period_start", "infinity"),
    ("llm_budgets", "period_start", "294276-12-31"),
    ("llm_budgets", "subject", "s" * 1001),
    *(("llm_agents", name, 2**31 - 1) for name in ("chunk_tokens", "context_tokens", "max_output_tokens")),
    ("llm_agents", "tenant_id", "t" * 501),
    *(("llm_models", name, 2**31 - 1) for name in ("context_tokens", "max_output_tokens")),
    *(("llm_routes", "candidates", value) for value in ([], [None], ["m"], ["/m"], ["p/"], ["p/m"] * 21, ["p/" + "m" * 251])),
    *(("llmreq_meta", "value", value) for value in ("abc", "NaN", "Infinity", "-1", "1e5", "")),
]  # fmt: skip

ACCEPTED: list[tuple[str, str, Any]] = [
    *(("llm_prices", f"{name}_usd_per_mtok", value) for name in BUCKETS for value in (0, limits.MAX_USD_PER_MTOK, None)),
    ("llm_prices", "output_usd_per_mtok", Decimal(1).scaleb(-limits.MAX_USD_DECIMALS)),
    *(("llm_prices", name, "x" * limits.LABEL_BYTES[name]) for name in ("provider", "model")),
    ("llm_prices", "source", "x" * limits.MAX_SOURCE_BYTES),
    *(("llm_tenants", "weight", value) for value in (limits.MIN_WEIGHT, limits.MAX_WEIGHT)),
    ("llm_tenants", "tenant_id", "x" * limits.LABEL_BYTES["tenant_id"]),
    *(("llm_lanes", name, value) for name in RATES for value in (limits.MIN_PER_MINUTE, limits.MAX_PER_MINUTE, None)),
    *(("llm_lanes", "safety_margin", value) for value in (limits.MIN_SAFETY_MARGIN, 1)),
    *(("llm_lanes", "burst_seconds", value) for value in (limits.MIN_BURST_SECONDS, limits.MAX_BURST_SECONDS)),
    *(("llm_lanes", "max_in_flight", value) for value in (1, limits.MAX_LANE_IN_FLIGHT, None)),
    ("llm_lanes", "blocked_until", "infinity"),
    *(("llm_budgets", "limit_usd", value) for value in (0, limits.MAX_BUDGET_USD)),
    *(("llm_budgets", "limit_tokens", value) for value in (0, limits.MAX_BUDGET_TOKENS)),
    *(("llm_budgets", "warn_at", value) for value in ([], [Decimal(limits.MAX_WARN_SHARE)] * limits.MAX_WARN_SHARES)),
    ("llm_budgets", "subject", "x" * limits.MAX_SUBJECT_BYTES),
    ("llm_agents", "chunk_tokens", limits.LARGEST_WINDOW_TOKENS),
    ("llm_agents", "max_output_tokens", limits.LARGEST_OUTPUT_CAP),
    ("llm_routes", "candidates", ["p" * 100 + "/" + "m" * limits.MAX_ROUTED_MODEL_CHARS] * limits.MAX_CANDIDATES),
    ("llmreq_meta", "value", f"{limits.MAX_SETTING_USD:f}.{'0' * 19}1"),
]  # fmt: skip


@pytest.fixture
def scratch(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def write(connection: psycopg.Connection[Any], table: str, column: str, value: Any) -> None:
    """A valid row of the table but for this column."""
    row = {**VALID[table], column: value}
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    with connection.transaction(force_rollback=True):
        # Past our triggers, which would set some of it right.
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(statement, list(row.values()))


def refused(connection: psycopg.Connection[Any], table: str, column: str, value: Any) -> bool:
    try:
        write(connection, table, column, value)
    except psycopg.errors.CheckViolation:
        return True
    return False


def test_sql_is_refused_every_value_that_would_stop_a_claim(scratch: psycopg.Connection[Any]) -> None:
    for table, column, value in REFUSED:
        assert refused(scratch, table, column, value), f"{table}.{column} accepted {str(value)[:60]}"


def test_sql_takes_what_our_own_commands_take_at_most(scratch: psycopg.Connection[Any]) -> None:
    for table, column, value in ACCEPTED:
        write(scratch, table, column, value)


BEFORE = """
SET session_replication_role = replica;
INSERT INTO llm_prices (provider, model, valid_from, input_usd_per_mtok, output_usd_per_mtok, source)
VALUES ('p', 'nan', '-infinity', 'NaN', 2, 'x'), ('p', 'inf', '-infinity', 1, 'Infinity', 'x'),
       ('p', 'fine', '-infinity', 0.25, 2, 'x'), ('p', repeat('m', 3000), '-infinity', 1, 2, 'x');
INSERT INTO llm_tenants (tenant_id, weight) VALUES ('nan', 'NaN'), ('tiny', 1e-320), ('vast', 'Infinity'), ('fine', 3);
INSERT INTO llm_lanes (lane, provider, model, requests_per_minute, tokens_per_minute, burst_seconds, request_level, refilled_at)
VALUES ('p/bad', 'p', 'bad', 'NaN', 1e-320, 'NaN', 'NaN', 'infinity'), ('p/fine', 'p', 'fine', 60, 1000, 7, 3, '2026-01-01');
INSERT INTO llm_budgets (scope, subject, period, limit_usd, warn_at, spent_usd, held_usd, period_start)
VALUES ('tenant', 'bad', 'day', 'NaN', '{0.8,NaN,-1,NULL}', 'NaN', 5, 'infinity'),
       ('tenant', 'fine', 'day', 5, '{0.8}', 2, 1, 'epoch'),
       ('tenant', repeat('t', 3000), 'day', 5, '{0.8}', 0, 0, 'epoch');
INSERT INTO llm_agents (name, version, system_prompt, chunk_tokens, context_tokens) VALUES ('a', 1, 'x', 2000000000, 2000000000);
INSERT INTO llm_models (provider, model, context_tokens, max_output_tokens, source) VALUES ('p', 'm', 2000000000, -5, 'x');
INSERT INTO llm_routes (task_type, candidates) VALUES ('some', '{nolane,p/m,NULL}'), ('none', '{nolane}');
INSERT INTO llmreq_meta (key, value) VALUES ('unpriced_usd_per_mtok', 'lots'), ('warn_run_usd', '5');
UPDATE llmreq_meta SET value = 'older' WHERE key = 'sql';
"""


@pytest.fixture
def before(database: str) -> Callable[[], str]:
    """Takes the database back to the schema before these bounds, with rows that they refuse."""

    def take_back() -> str:
        engine = sa.create_engine(sqlalchemy_url(database), poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.downgrade(config, "0004")
            connection.commit()
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(BEFORE)
        return database

    return take_back


def test_rows_that_were_there_before_are_put_right_and_good_ones_stay(before: Callable[[], str]) -> None:
    url = before()
    migrate(url)
    require_current(url)
    queue = Queue.open(url)
    prices = queue.all(
        "SELECT left(model, 4) AS model, input_usd_per_mtok AS i, output_usd_per_mtok AS o FROM llm_prices WHERE provider = 'p'"
    )
    assert {row["model"]: (row["i"], row["o"]) for row in prices} == {
        "nan": (None, 2), "inf": (1, None), "fine": (Decimal("0.25"), 2), "mmmm": (1, 2),
    }  # fmt: skip
    weights = {row["tenant_id"]: row["weight"] for row in queue.all("SELECT * FROM llm_tenants")}
    assert weights == {"nan": 1, "tiny": Decimal("0.001"), "vast": 1_000_000, "fine": 3}
    bad, fine = queue.lane("p/bad"), queue.lane("p/fine")
    assert (bad["requests_per_minute"], bad["tokens_per_minute"], bad["burst_seconds"]) == (
        None,
        Decimal("0.000001"),
        5,
    )
    assert (bad["request_level"], bad["refilled_at"]) == (None, None)
    assert (fine["requests_per_minute"], fine["burst_seconds"], fine["request_level"]) == (60, 7, 3)
    budgets = {row["subject"][:4]: row for row in queue.all("SELECT * FROM llm_budgets")}
    assert (budgets["bad"]["limit_usd"], budgets["bad"]["warn_at"]) == (10**12, [Decimal("0.8")])
    assert (budgets["bad"]["spent_usd"], budgets["bad"]["held_usd"]) == (0, 5)
    assert (budgets["fine"]["limit_usd"], budgets["fine"]["spent_usd"]) == (5, 2)
    assert len(budgets["tttt"]["subject"]) == 132
    agent = queue.one("SELECT * FROM llm_agents WHERE name = 'a'")
    assert (agent["chunk_tokens"], agent["context_tokens"]) == (10_000_000, 10_000_000)
    assert queue.one("SELECT * FROM llm_models WHERE provider = 'p'")["max_output_tokens"] is None
    routes = {
        row["task_type"]: row
        for row in queue.all("SELECT * FROM llm_routes WHERE task_type IN ('some', 'none')")
    }
    assert (routes["some"]["candidates"], routes["some"]["enabled"]) == (["p/m"], True)
    assert (routes["none"]["enabled"], routes["none"]["note"]) == (False, "no candidate was a lane: nolane")
    settings = {row["key"]: row["value"] for row in queue.all("SELECT * FROM llmreq_meta")}
    assert ("unpriced_usd_per_mtok" in settings, settings["warn_run_usd"]) == (False, "5")
    off = "SELECT FROM pg_trigger WHERE tgenabled <> 'O' AND tgrelid <> 'llm_requests'::regclass"
    assert queue.all(off) == []
    queue.connection.close()


def test_a_migration_that_must_wait_for_one_table_keeps_nobody_from_the_others(
    before: Callable[[], str],
) -> None:
    url = before()
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as worker:
        holder.execute("UPDATE llm_routes SET note = 'x'")  # an operator's open transaction
        migration = threading.Thread(target=migrate, args=[url])
        migration.start()
        worker.execute("SET lock_timeout = '2s'")
        seen = 0
        while seen < 2:  # it tries again and again; whatever it holds it gives back
            worker.execute("UPDATE llm_lanes SET in_flight = 0 WHERE lane = 'p/fine'")
            seen += len(
                worker.execute(
                    "SELECT FROM pg_locks WHERE relation = 'llm_routes'::regclass AND NOT granted"
                ).fetchall()
            )
        holder.rollback()
        migration.join(60)
    require_current(url)
