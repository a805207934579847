"""Rows a second through claim, read and finish, beside a hand-written SQL loop with the same batches and payload."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
from psycopg.types.json import Json

from bench.rig import Connection, connect, fresh_database, median

BATCHES = (1, 10, 50, 200)
ANSWER = "y" * 500
MESSAGES = Json([{"role": "user", "content": "x" * 900}])

HAND = """
CREATE TABLE hand (
  id uuid PRIMARY KEY DEFAULT llmreq_uuid7(), scheduled_at timestamptz DEFAULT now(), claimed_at timestamptz, worker_id bigint,
  status text DEFAULT 'pending', attempts int DEFAULT 0, claim_seq int DEFAULT 0, cost numeric, response text, parsed jsonb,
  tenant text DEFAULT 'default', lane text DEFAULT 'a', priority int DEFAULT 5, payload jsonb) WITH (fillfactor = 50);
CREATE INDEX ON hand (lane, tenant, priority, scheduled_at, id) WHERE status = 'pending';
CREATE TABLE hand_ledger (
  request_id uuid, claim_seq int, at timestamptz DEFAULT now(), worker_id bigint, input_tokens bigint, output_tokens bigint,
  cost numeric, outcome text, lane text, PRIMARY KEY (request_id, claim_seq));
"""
HAND_CLAIM = """
WITH p AS MATERIALIZED (
  SELECT id FROM hand WHERE status = 'pending' AND lane = 'a' AND tenant = 'default' AND priority = 5 AND scheduled_at <= now()
  ORDER BY scheduled_at, id LIMIT %s FOR UPDATE SKIP LOCKED)
UPDATE hand h SET status = 'processing', claimed_at = now(), worker_id = 1, attempts = attempts + 1, claim_seq = claim_seq + 1
FROM p WHERE h.id = p.id RETURNING h.id, h.claim_seq, h.payload
"""
HAND_FINISH = """
WITH f AS (SELECT * FROM unnest(%s::uuid[], %s::int[], %s::text[]) f (id, seq, answer)), u AS (
  UPDATE hand h SET status = 'completed', response = f.answer, parsed = '{"a": 1}', cost = 0.001, worker_id = NULL
  FROM f WHERE h.id = f.id AND h.claim_seq = f.seq RETURNING h.id, h.claim_seq, h.lane)
INSERT INTO hand_ledger (request_id, claim_seq, worker_id, input_tokens, output_tokens, cost, outcome, lane)
SELECT id, claim_seq, 1, 250, 100, 0.001, 'completed', lane FROM u
"""
READ = """
SELECT r.id, r.messages, r.response_schema, r.params FROM unnest(%s::uuid[], %s::int[]) x (id, seq)
JOIN llm_requests r ON r.id = x.id AND r.claim_seq = x.seq
"""


def run(rows: int) -> dict[str, Any]:
    """Alternating batches on one connection; medians."""
    found: dict[str, Any] = {}
    with fresh_database() as url, connect(url) as connection:
        connection.execute(HAND)
        worker = fill(connection, rows)
        connection.execute(
            "INSERT INTO hand (payload) SELECT %s FROM generate_series(1, %s)", (MESSAGES, rows)
        )
        connection.execute("VACUUM ANALYZE")
        for size in BATCHES:
            rounds = max(5, min(100, rows // len(BATCHES) // size))
            ours, hand = [], []
            for _ in range(rounds):
                ours.append(_timed(lambda size=size: through(connection, worker, size)))
                hand.append(_timed(lambda size=size: _by_hand(connection, size)))
            found[f"rows_per_second_{size}"] = size / median(ours)
            found[f"hand_rows_per_second_{size}"] = size / median(hand)
            found[f"ratio_{size}"] = median(hand) / median(ours)
    return found


def fill(connection: Connection, rows: int) -> int:
    """Pending requests of 1 KB, and a registered worker's id."""
    connection.execute(
        "INSERT INTO llm_requests (provider, model, messages) SELECT 'openai', 'gpt-6-luna', %s FROM generate_series(1, %s)",
        (MESSAGES, rows),
    )
    row = connection.execute(
        "SELECT llmreq_register('bench', '0', ARRAY['openai'], '{}', 100, interval '1 day')"
    ).fetchone()
    assert row is not None
    return int(row[0])


def through(connection: Connection, worker: int, size: int) -> int:
    """One batch through claim, read and finish; how many rows it was."""
    claims = connection.execute(
        "SELECT id, claim_seq, claimed_at FROM llmreq_claim(%s, %s)", (worker, size)
    ).fetchall()
    connection.execute(READ, ([claim[0] for claim in claims], [claim[1] for claim in claims])).fetchall()
    outcomes = [
        {
            "id": id, "claim_seq": claim_seq, "claimed_at": claimed_at, "outcome": "completed", "billed": "usage",
            "response": ANSWER, "parsed_response": {"a": 1}, "input_tokens": 250, "output_tokens": 100, "http_status": 200,
            "latency_ms": 200, "max_output_tokens": 4096, "provider_request_id": "req_1", "finish_reason": "stop",
        }
        for id, claim_seq, claimed_at in claims
    ]  # fmt: skip
    settled = connection.execute(
        "SELECT accepted FROM llmreq_finish(%s, %s::json)", (worker, orjson.dumps(outcomes).decode())
    ).fetchall()
    assert len(settled) == len(claims)
    return len(claims)


def _by_hand(connection: Connection, size: int) -> None:
    rows = connection.execute(HAND_CLAIM, (size,)).fetchall()
    connection.execute(
        HAND_FINISH, ([row[0] for row in rows], [row[1] for row in rows], [ANSWER] * len(rows))
    )


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
