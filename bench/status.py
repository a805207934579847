"""What `llmreq status` and the views behind it cost in a database of very many lanes, budgets and tenants."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

from bench.rig import Connection, connect, fresh_database, median

# Half of the providers have a worker. Of the lanes three fifths are blocked, a twentieth is paused, the rest is open and
# waits for tomorrow, as most of the rest does.
_LANES = """
INSERT INTO llm_lanes (lane, provider, model, paused, blocked_until, block_reason, block_message, requests_per_minute)
SELECT format('p%%s/model-%%s', n %% 20, n), 'p' || n %% 20, 'model-' || n, n %% 20 = 7,
       CASE WHEN n %% 5 < 3 THEN llmreq_now() + interval '1 hour' END,
       CASE n %% 5 WHEN 0 THEN 'rate_limit' WHEN 1 THEN 'provider_down' WHEN 2 THEN 'rate_limit' END,
       CASE WHEN n %% 5 < 3 THEN 'the provider answered 429' END, 600
FROM generate_series(1, %(lanes)s) n
"""
_PENDING = """
INSERT INTO llm_requests (lane, provider, model, tenant_id, content, scheduled_at)
SELECT format('p%%s/model-%%s', n %% 20, n), 'p' || n %% 20, 'model-' || n, 't' || (n * turn) %% %(tenants)s, 'x',
       llmreq_now() + CASE WHEN turn = 2 OR n %% 5 > 2 THEN interval '1 day' ELSE interval '0' END
FROM generate_series(1, %(lanes)s) n, generate_series(1, 2) turn
"""
_WAITING = """
INSERT INTO llm_requests (lane, provider, model, tenant_id, content, wait_reason, budget_id)
SELECT format('p%%s/model-%%s', b.id %% 20, b.id), 'p' || b.id %% 20, 'model-' || b.id, b.subject, 'x', 'budget', b.id
FROM llm_budgets b, generate_series(1, 2) turn WHERE b.waiting
"""
_BUDGETS = """
INSERT INTO llm_budgets (scope, subject, period, limit_usd, spent_usd, period_start, waiting, needs_usd)
SELECT 'tenant', 't' || n, 'day', 10, 10 * (n %% 100) / 100.0, date_trunc('day', llmreq_now(), 'UTC'), n %% 2 = 0, 1
FROM generate_series(1, %(budgets)s) n
"""
_TENANTS = "INSERT INTO llm_tenants (tenant_id, weight) SELECT 't' || n, 1 + n %% 3 FROM generate_series(1, %(tenants)s) n"
_SPEND = """
INSERT INTO llm_usage_daily (day, tenant_id, agent_id, task_type, kind, provider, model, calls, cost_usd)
SELECT (llmreq_now() AT TIME ZONE 'UTC')::date, 't' || n, 'a', 'general', 'chat', 'p' || n %% 20, 'model-' || n, 5, 0.01
FROM generate_series(1, %(tenants)s / 2) n
"""
_CALLS = """
INSERT INTO llm_attempts (request_id, claim_seq, claimed_at, worker_id, attempt, accepted, cost_basis, outcome, tenant_id,
                          agent_id, task_type, kind, lane, provider, model, cost_usd)
SELECT llmreq_uuid7(), 1, llmreq_now() - interval '10 min', 1, 1, true, 'usage', 'completed', 't', 'a', 'general', 'chat',
       format('p%%s/model-%%s', n %% 20, n), 'p' || n %% 20, 'model-' || n, 0.01
FROM generate_series(1, %(lanes)s) n
"""
_ENDED = """
INSERT INTO llm_requests (lane, provider, model, tenant_id, content, status, completed_at)
SELECT 'p1/model-1', 'p1', 'model-1', 't1', 'x', 'completed', llmreq_now() FROM generate_series(1, %(ended)s) n
"""

_READS = {
    "queue_depth": "SELECT * FROM llmreq_queue_depth",
    "waiting": "SELECT * FROM llmreq_waiting",
    "lane_health": "SELECT * FROM llmreq_lane_health",
    "budget_status": "SELECT * FROM llmreq_budget_status",
    "spend": "SELECT * FROM llmreq_spend",
}


def run(lanes: int, ended: int, rounds: int) -> dict[str, Any]:
    """Seconds of every view read whole, and of the command with everything that starts and connects."""
    with fresh_database() as url, connect(url) as connection:
        fill(connection, lanes=lanes, budgets=lanes, tenants=2 * lanes, ended=ended)
        figures: dict[str, Any] = {"lanes": lanes, "ended": ended}
        for name, query in _READS.items():
            figures[f"{name}_seconds"] = median(_seconds(connection, query) for _ in range(rounds))
        for command in ("status", "status --json", "limits list", "budgets list"):
            name = command.replace(" ", "_").replace("--", "")
            figures[f"{name}_command_seconds"] = median(
                _command(url, *command.split()) for _ in range(rounds)
            )
        return figures


def fill(connection: Connection, **sizes: int) -> None:
    """So many lanes, budgets, tenants and ended requests, past the triggers that would count each."""
    connection.execute("SET session_replication_role = replica")
    providers = [f"p{n}" for n in range(10)]
    connection.execute("SELECT llmreq_register('bench', '0', %s, '{}', 100, interval '1 day')", (providers,))
    for statement in (_LANES, _PENDING, _BUDGETS, _WAITING, _TENANTS, _SPEND, _CALLS, _ENDED):
        connection.execute(statement, sizes)
    connection.execute("SET session_replication_role = origin")
    connection.execute("VACUUM ANALYZE")


def _seconds(connection: Connection, query: str) -> float:
    began = time.perf_counter()
    connection.execute(f"SELECT count(x) FROM ({query} OFFSET 0) x")
    return time.perf_counter() - began


def _command(url: str, *arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "llmreq", *arguments],
        env={**os.environ, "LLMREQ_DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
        check=False,
        timeout=600,
    )
    return time.perf_counter() - began
