"""The views over lanes and budgets: the same as the engine's functions say of one, and one look however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llmreq.database.statements import sql_files, statement
from llmreq.reports.lanes import read_lanes
from tests.engine.queue import Queue
from tests.odd_rows import MOMENTS, READ, odd_request, unguarded

LANES = """
INSERT INTO llm_lanes (lane, provider, model, paused, in_flight, max_in_flight, request_level, token_level, blocked_until,
                       block_reason, block_message, breaker_opened)
SELECT p || '/' || m, p, m, random() < 0.15, n %% 4, nullif(n %% 3, 0), random() * 3, random() * 3 - 0.5,
       llmreq_now() + (random() - 0.6) * interval '2 hours', 'rate_limit', 'wait', (random() < 0.3)::int
FROM unnest('{openai,anthropic,local,mine,dead,other,gone}'::text[]) p,
     unnest('{gpt-6-luna,claude-haiku-4-5-20251001,rules,a/b/c,gpt-4o-2024-07-18,gpt-6*,m1,m2,m3,m4,m5,m6,*}'::text[])
       WITH ORDINALITY AS x (m, n)
"""
REQUESTS = """
INSERT INTO llm_requests (lane, tenant_id, priority, content, scheduled_at, created_at, status, wait_reason,
                          error_message, budget_id)
SELECT x.lane, 't' || (random() * 3)::int, (random() * 9)::int, 'x', llmreq_now() + (random() - 0.5) * interval '2 days',
       llmreq_now() - random() * interval '2 days',
       (ARRAY['pending', 'pending', 'processing', 'waiting', 'completed'])[1 + n %% 5],
       (ARRAY[NULL, 'rate_limit', 'budget', 'backoff', 'no_worker'])[1 + (random() * 4)::int], 'said ' || n,
       CASE WHEN n %% 5 < 2 AND random() < 0.3 THEN 1 + n %% 9 END
FROM (SELECT lane FROM llm_lanes UNION ALL VALUES ('new/lane'), ('openai/fresh'), ('noslash'), (''), (NULL)) x,
     generate_series(1, 10) n
"""
BUDGETS = """
INSERT INTO llm_budgets (scope, subject, period, limit_usd, limit_tokens, spent_usd, held_usd, spent_tokens, period_start,
                         waiting)
SELECT 'tenant', 't' || n, p, n, n * 1000, random() * 5, random(), (random() * 900)::int,
       llmreq_now() - random() * interval '40 days', n %% 2 = 0
FROM unnest('{hour,day,month,total}'::text[]) p, generate_series(1, 4) n
"""
WORKERS = """
INSERT INTO llm_workers (name, version, providers, concurrency, lease_seconds, lease_until, state)
VALUES ('a', '0', '{openai,local/rules}', 1, 1, llmreq_now() + interval '1 h', 'alive'),
       ('b', '0', '{mine,NULL}', 1, 1, llmreq_now() + interval '1 h', 'alive'),
       ('c', '0', '{dead}', 1, 1, llmreq_now() - interval '1 h', 'alive'),
       ('d', '0', '{other}', 1, 1, llmreq_now() + interval '1 h', 'draining')
"""


@pytest.fixture
def queue(database: str) -> Iterator[Queue]:
    queue = Queue.open(database)
    yield queue
    queue.connection.close()


@pytest.fixture
def mixed(queue: Queue) -> Queue:
    """Lanes, requests, budgets and workers in every state, the same in each run."""
    queue.run("SELECT setseed(0.4)")
    for rows in (WORKERS, LANES, BUDGETS, REQUESTS):
        unguarded(queue, rows)
    return queue


@pytest.mark.parametrize("everything_paused", [False, True])
def test_a_lane_is_as_the_engine_sees_it(mixed: Queue, everything_paused: bool) -> None:
    if everything_paused:
        mixed.run("INSERT INTO llm_lanes (lane, provider, model, paused) VALUES ('*/*', '*', '*', true)")
    different = mixed.all(
        """
        SELECT h.lane, h.state, h.priced FROM llmreq_lane_health h
        WHERE (h.state = 'no_worker') = llmreq_served(h.lane)
           OR h.state <> 'no_worker' AND (h.state = 'paused') <> llmreq_paused(h.lane)
           OR h.priced <> EXISTS (
                SELECT FROM llmreq_price_rows(split_part(h.lane, '/', 1), substr(h.lane, strpos(h.lane, '/') + 1)))
        """
    )
    assert different == []
    states = {row["state"] for row in mixed.all("SELECT DISTINCT state FROM llmreq_lane_health")}
    assert states >= (
        {"no_worker", "paused"} if everything_paused else {"no_worker", "paused", "rate_limit", "open"}
    )
    assert {row["priced"] for row in mixed.all("SELECT priced FROM llmreq_lane_health")} == {True, False}


def test_every_pending_request_is_in_one_row_of_waiting(mixed: Queue) -> None:
    counted = mixed.all(
        """
        SELECT lane, sum(requests) AS requests, sum(due) FILTER (WHERE reason IS DISTINCT FROM 'budget') AS due
        FROM llmreq_waiting GROUP BY lane
        EXCEPT
        SELECT lane, count(*), count(*) FILTER (WHERE scheduled_at <= llmreq_now() AND budget_id IS NULL) FROM llm_requests
        WHERE status = 'pending' GROUP BY lane
        """
    )
    assert [row for row in counted if row["due"] is not None] == []
    reasons = {row["reason"] for row in mixed.all("SELECT reason FROM llmreq_waiting")}
    assert reasons >= {None, "no_worker", "paused", "rate_limit", "budget", "backoff"}
    heads = mixed.all(
        "SELECT message FROM llmreq_waiting WHERE reason IN ('backoff', 'no_worker') AND lane IS NOT NULL"
    )
    assert all(row["message"].startswith("said ") for row in heads)


def test_a_budget_is_as_the_engine_sees_it(mixed: Queue) -> None:
    different = mixed.all(
        """
        SELECT s.id FROM llmreq_budget_status s JOIN llm_budgets b ON b.id = s.id
        CROSS JOIN LATERAL (SELECT llmreq_budget_now(b, llmreq_now()) AS now OFFSET 0) n
        WHERE (s.spent_usd, s.held_usd, s.spent_tokens, s.held_tokens, s.warned)
              IS DISTINCT FROM ((n.now).spent_usd, (n.now).held_usd, (n.now).spent_tokens, (n.now).held_tokens, (n.now).warned)
           OR s.waiting <> CASE WHEN b.waiting THEN (
                SELECT count(*) FROM llm_requests r WHERE r.status = 'pending' AND r.budget_id = b.id) ELSE 0 END
        """
    )
    assert different == []
    assert len(mixed.all("SELECT FROM llmreq_budget_status WHERE spent_usd > 0")) > 4


def test_no_view_and_no_status_calls_a_function_for_each_lane_or_budget(mixed: Queue) -> None:
    mixed.run("SET track_functions = 'all'")
    with mixed.connection.transaction():
        for view in ("waiting", "lane_health", "lane_depth", "queue_depth", "budget_status"):
            mixed.all(f"SELECT * FROM llmreq_{view}")
        read_lanes(mixed.connection, 20)
        mixed.all(statement("list_budgets") % {"id": "NULL", "by_use": "true", "limit": 20})
        called = mixed.all(
            # But a budget's name, in the words of the view that says which one is waited for.
            "SELECT funcname, calls FROM pg_stat_xact_user_functions WHERE calls > 60 AND funcname <> 'llmreq_budget_name'"
        )
    assert called == []


def test_every_view_survives_moments_that_have_no_distance(mixed: Queue) -> None:
    for at in READ:
        odd_request(mixed, lane="mine/odd", **dict.fromkeys(MOMENTS, at))
        id = odd_request(
            mixed, lane="mine/odd", status="completed", claim_seq=1, **dict.fromkeys(MOMENTS, at)
        )
        unguarded(
            mixed,
            "INSERT INTO llm_attempts (request_id, claim_seq, claimed_at, worker_id, attempt, accepted, cost_basis, outcome,"
            " tenant_id, agent_id, task_type, kind, lane, provider, model)"
            " VALUES (%s, 1, llmreq_now(), 1, 1, true, 'usage', 'completed', 't', 'a', 'g', 'chat', 'mine/odd', 'mine', 'odd')",
            id,
        )
        unguarded(mixed, "UPDATE llm_workers SET heartbeat_at = %s, lease_until = %s", at, at)
        for path in sql_files("views"):
            mixed.run(f"SELECT count(x) FROM (SELECT * FROM llmreq_{path.stem} OFFSET 0) x")


def test_a_request_of_unknown_age_hides_nobody_elses(queue: Queue) -> None:
    queue.insert()
    queue.advance(seconds=9)
    odd_request(queue, lane="openai/gpt-6-luna", created_at="-infinity")
    ages: list[dict[str, Any]] = queue.all("SELECT oldest_seconds FROM llmreq_queue_depth")
    ages += queue.all("SELECT oldest_seconds FROM llmreq_waiting")
    assert [row["oldest_seconds"] for row in ages] == [9, 9]
