"""Brings everything to its end: what a fleet of healthy workers does when nothing is in its way any more."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from psycopg.types.json import Json

from tests.engine.queue import Queue
from tests.permutations.books import Books
from tests.permutations.verbs import Claim, outcome_of

MOST_TURNS = 60
OPEN = "status NOT IN ('completed', 'failed', 'cancelled')"


def drain(queue: Queue, books: Books) -> None:
    """Answer, claim and rescue until no request is open; limits, budgets and pauses are lifted before."""
    queue.run("DELETE FROM llm_budgets")
    queue.run(
        "UPDATE llm_lanes SET paused = false, blocked_until = NULL, breaker_opened = 0, max_in_flight = NULL,"
        " requests_per_minute = NULL, tokens_per_minute = NULL"
    )
    for _ in range(MOST_TURNS):
        if not queue.all(f"SELECT FROM llm_requests WHERE {OPEN} LIMIT 1"):
            return
        worker = queue.worker()
        queue.one(
            "SELECT llmreq_expire(), llmreq_sweep_orphans(), llmreq_sweep_pages(), llmreq_explain_waiting()"
        )
        queue.rescue()
        _answer(queue, books)
        claims = queue.claim(worker, 200)
        for row in claims:
            books.note_claim(worker, _claim(row))
        _answer(queue, books)
        if not claims:
            books.found_by_sweep += int(queue.one("SELECT llmreq_sweep_lanes() AS n")["n"])
        queue.advance(seconds=5)
    rows = queue.all(
        f"SELECT id::text, status, lane, wait_reason, scheduled_at::text FROM llm_requests WHERE {OPEN}"
    )
    raise AssertionError(f"these never end: {rows}")


def _answer(queue: Queue, books: Books) -> None:
    """Every call in flight, in its worker's name."""
    rows = queue.all(
        "SELECT id, claim_seq, claimed_at, lane, coalesce(output_cap, 4096) AS max_output_tokens, worker_id, pages"
        " FROM llm_requests WHERE status = 'processing' ORDER BY id"
    )
    batches: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        facts = {"step": "fits"} if row["lane"] == "local/pages" and not row["pages"] else {}
        batches[row["worker_id"] or 0].append(outcome_of(_claim(row), **facts))
    for worker, outcomes in batches.items():
        for row in queue.all("SELECT * FROM llmreq_finish(%s, %s::json)", worker, Json(outcomes)):
            books.note_settled((str(row["id"]), row["claim_seq"]), row["accepted"])


def _claim(row: dict[str, Any]) -> Claim:
    return Claim(
        str(row["id"]), row["claim_seq"], row["claimed_at"].isoformat(), row["lane"], row["max_output_tokens"]
    )
