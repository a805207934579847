"""What the promises about money come to: a cap under full concurrency, our bill beside the provider's, usage of five million calls."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.rig import Connection, connect, fleet, fresh_database
from llmreq.simulator.process import Simulator

MODEL = "gpt-6-luna"
SMALLEST, LARGEST = 200, 4_000
"""Bytes of an answer: true costs vary twentyfold."""
WORKERS, CONCURRENCY = 16, 64


def budget(calls: int, folder: Path) -> dict[str, Any]:
    """A dollar a day under 1,024 possible calls at a time, with a sampler watching; then two dollars."""
    with (
        fresh_database() as url,
        Simulator(latency_ms="lognormal:1000:0.5") as simulator,
        connect(url) as connection,
        fleet(url, simulator.openai_base_url, folder) as team,
    ):
        connection.execute("INSERT INTO llm_budgets (scope, period, limit_usd) VALUES ('all', 'total', 1)")
        _fill(connection, calls)
        for _ in range(WORKERS):
            team.start("--concurrency", str(CONCURRENCY))
        with _sampled(url) as highest:
            used, seconds = _until_it_rests(connection), time.monotonic()
            state = connection.execute(
                "SELECT count(*) FILTER (WHERE wait_reason = 'budget'), count(*) FROM llm_requests WHERE status = 'pending'"
            ).fetchone()
            first = dict(highest)
            at_most = simulator.state()["most_in_flight"]
            connection.execute("UPDATE llm_budgets SET limit_usd = 2")
            after = _until_it_rests(connection, more_than=used)
        balanced = connection.execute("SELECT count(*) FROM llmreq_ledger_check").fetchone()
        left = connection.execute("SELECT count(*) FROM llm_requests WHERE status <> 'completed'").fetchone()
    return {
        "calls": calls,
        "most_in_flight": at_most,
        "used_of_one_dollar": float(used),
        "most_ever_spent": float(first["spent"]),
        "most_spent_and_held": float(first["committed"]),
        "samples": first["samples"],
        "waiting_for_the_budget": state[0] if state else None,
        "pending": state[1] if state else None,
        "after_raising_to_two": float(after),
        "most_ever_spent_then": float(highest["spent"]),
        "left_over": left[0] if left else None,
        "unbalanced": balanced[0] if balanced else None,
        "seconds_to_run_on": round(time.monotonic() - seconds, 1),
    }


def bill(calls: int, folder: Path) -> dict[str, Any]:
    """Both vendors' conventions, cached, cache-write and reasoning tokens, every tenth call failing, every twentieth answer invalid."""
    with (
        fresh_database() as url,
        Simulator(latency_ms="uniform:5:40") as simulator,
        connect(url) as connection,
        fleet(
            url,
            simulator.openai_base_url,
            folder,
            ANTHROPIC_BASE_URL=simulator.anthropic_base_url,
            ANTHROPIC_API_KEY="sk-ant-bench",
        ) as team,
    ):
        connection.execute(
            "INSERT INTO llm_requests (provider, model, messages, response_schema, max_attempts)"
            " SELECT CASE n %% 2 WHEN 0 THEN 'openai' ELSE 'anthropic' END,"
            "        CASE n %% 4 WHEN 0 THEN 'gpt-6-luna' WHEN 1 THEN 'claude-haiku-4-5' WHEN 2 THEN 'gpt-6-sol' ELSE 'claude-haiku-5-5' END,"
            "        jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'call ' || n || repeat(' word', n %% 97) ||"
            "          CASE WHEN n %% 10 = 0 THEN '[[sim:script=http_500|cached]]' WHEN n %% 20 = 1 THEN '[[sim:script=broken_json|cached]]'"
            "               ELSE '[[sim:cached]]' END)),"
            '        \'{"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"], "additionalProperties": false}\', 5'
            " FROM generate_series(1, %s) n",
            (calls,),
        )
        for _ in range(2):
            team.start("--concurrency", "128")
        _until_nothing_is_open(connection)
        ours = connection.execute(
            "SELECT sum(cost_usd), count(*), count(*) FILTER (WHERE outcome = 'malformed_json'), count(*) FILTER (WHERE http_status >= 500),"
            " sum(cache_read_tokens), sum(cache_write_5m_tokens + cache_write_1h_tokens), sum(reasoning_tokens) FROM llm_attempts"
        ).fetchone()
        theirs = simulator.ledger()
        usage = _token_usage(url)
        balanced = connection.execute("SELECT count(*) FROM llmreq_ledger_check").fetchone()
    assert ours is not None
    return {
        "requests": calls,
        "calls": ours[1],
        "invalid_answers": ours[2],
        "failed_calls": ours[3],
        "cache_read_tokens": int(ours[4]),
        "cache_write_tokens": int(ours[5]),
        "reasoning_tokens": int(ours[6]),
        "our_bill_usd": str(ours[0]),
        "provider_bill_usd": str(theirs["cost_usd"]),
        "difference_usd": str(ours[0] - Decimal(theirs["cost_usd"])),
        "token_usage_says_usd": str(usage["total"]["cost_usd"]),
        "unbalanced": balanced[0] if balanced else None,
    }


def usage(calls: int, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    """`llmreq token-usage` beside a plain SUM over the ledger. Ledger and rollup are made by SQL, 7 days, 50 tenants, 6 models."""
    with fresh_database() as url, connect(url) as connection:
        connection.execute("SET synchronous_commit = off")
        for day in range(7):
            connection.execute(
                "INSERT INTO llm_attempts (request_id, claim_seq, claimed_at, worker_id, attempt, accepted, cost_basis, outcome, tenant_id,"
                " agent_id, task_type, kind, lane, provider, model, input_tokens, output_tokens, cost_usd)"
                " SELECT gen_random_uuid(), 1, now() - make_interval(days => %s), 1, 1, true, 'usage', CASE n %% 20 WHEN 0 THEN 'refused'"
                " ELSE 'completed' END, 'tenant' || n %% 50, 'default', 'task' || n %% 5, 'chat', 'openai/m' || n %% 6, 'openai', 'm' || n %% 6,"
                " n %% 1000, n %% 300, (n %% 1000) * 0.0000001 FROM generate_series(1, %s) n",
                (day, calls // 7),
            )
        connection.execute(
            "INSERT INTO llm_usage_daily (day, tenant_id, agent_id, task_type, kind, provider, model, calls, counted_calls, failed_calls,"
            " input_tokens, output_tokens, cost_usd, failed_usd)"
            " SELECT (claimed_at AT TIME ZONE 'UTC')::date, tenant_id, agent_id, task_type, kind, provider, model, count(*), count(*),"
            " count(*) FILTER (WHERE outcome = 'refused'), sum(input_tokens), sum(output_tokens), sum(cost_usd),"
            " coalesce(sum(cost_usd) FILTER (WHERE outcome = 'refused'), 0) FROM llm_attempts GROUP BY 1, 2, 3, 4, 5, 6, 7"
        )
        began = time.monotonic()
        plain = connection.execute(
            "SELECT sum(input_tokens + output_tokens), sum(cost_usd), count(*) FROM llm_attempts"
        ).fetchone()
        summed = time.monotonic() - began
        began = time.monotonic()
        told = _token_usage(url)["total"]
        command = time.monotonic() - began
    assert plain is not None
    same = (told["total_tokens"], Decimal(str(told["cost_usd"])), told["calls"]) == (
        int(plain[0]),
        plain[1],
        plain[2],
    )
    return {"calls": plain[2], "command_seconds": command, "plain_sum_seconds": summed, "equal": same}


def _fill(connection: Connection, calls: int) -> None:
    connection.execute(
        "INSERT INTO llm_requests (provider, model, messages, params)"
        " SELECT 'openai', %s, jsonb_build_array(jsonb_build_object('role', 'user', 'content',"
        "   'call ' || n || ' [[sim:huge,size=' || (%s + (n * 7919) %% %s) || ']]')), '{\"max_output_tokens\": 1100}'"
        " FROM generate_series(1, %s) n",
        (MODEL, SMALLEST, LARGEST - SMALLEST, calls),
    )


@contextmanager
def _sampled(url: str) -> Iterator[dict[str, Any]]:
    """The highest settled spend, and spend with holds, that another session ever saw."""
    highest: dict[str, Any] = {"spent": Decimal(0), "committed": Decimal(0), "samples": 0}
    over = threading.Event()

    def sample() -> None:
        with connect(url) as connection:
            while not over.wait(0.02):
                row = connection.execute(
                    "SELECT (SELECT coalesce(sum(cost_usd), 0) FROM llm_attempts), (SELECT sum(spent_usd + held_usd) FROM llm_budgets)"
                ).fetchone()
                if row:
                    highest["spent"] = max(highest["spent"], row[0])
                    highest["committed"] = max(highest["committed"], row[1])
                    highest["samples"] += 1

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield highest
    finally:
        over.set()
        thread.join()


def _until_it_rests(connection: Connection, more_than: Decimal = Decimal(0)) -> Decimal:
    """Wait until nothing runs and nothing has moved for two seconds; the spend then."""
    last, since = (Decimal(-1), -1), time.monotonic()
    while True:
        row = connection.execute(
            "SELECT coalesce(sum(cost_usd), 0), (SELECT count(*) FROM llm_requests WHERE status = 'processing') FROM llm_attempts"
        ).fetchone()
        assert row is not None
        if (row[0], row[1]) != last:
            last, since = (row[0], row[1]), time.monotonic()
        if row[1] == 0 and row[0] > more_than and time.monotonic() - since > 2:
            return Decimal(row[0])
        time.sleep(0.1)


def _until_nothing_is_open(connection: Connection) -> None:
    while True:
        row = connection.execute(
            "SELECT count(*) FROM llm_requests WHERE status IN ('pending', 'processing')"
        ).fetchone()
        if row and row[0] == 0:
            return
        time.sleep(0.2)


def _token_usage(url: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "llmreq", "token-usage", "--days", "7", "--json"],
        env={"LLMREQ_DATABASE_URL": url, "PATH": ""},
        capture_output=True,
        check=True,
    )
    return dict(json.loads(done.stdout, parse_float=Decimal))
