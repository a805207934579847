"""How fully, and how exactly, a fleet uses the limits it may use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.rig import Connection, connect, fleet, fresh_database
from llmreq.simulator.process import Simulator

RPM, TPM, MARGIN = 6_000, 600_000, 0.9
REQUESTS, TOKENS = "gpt-6-luna", "gpt-6-sol"
WARM_SECONDS = 15
SMALL, LARGE = (60, 20), (600, 200)
"""Words asked and most tokens answered: ten to one, every second request large, so that sizes truly mix."""


def run(seconds: int, workers: int, kill: bool, folder: Path) -> dict[str, Any]:
    """One lane at 6,000 requests a minute and one at 600,000 tokens a minute, under a provider that enforces just those."""
    with (
        fresh_database() as url,
        Simulator(latency_ms="lognormal:200:0.4") as simulator,
        connect(url) as connection,
    ):
        simulator.configure(limits={REQUESTS: {"rpm": RPM}, TOKENS: {"tpm": TPM}})
        _fill(connection, WARM_SECONDS + seconds)
        with fleet(url, simulator.openai_base_url, folder) as team:
            for _ in range(workers):
                team.start("--concurrency", "256")
            _await_workers(connection, workers)
            time.sleep(WARM_SECONDS)
            began, before = time.monotonic(), simulator.ledger()
            for part in range(3):
                time.sleep(max(0.0, began + seconds * (part + 1) / 3 - time.monotonic()))
                if kill and part < 2:
                    team.workers[part].kill()
            elapsed, after = time.monotonic() - began, simulator.ledger()
            pending = connection.execute(
                "SELECT count(*) FROM llm_requests WHERE status = 'pending'"
            ).fetchone()
    calls = after["calls"] - before["calls"]
    return {
        "workers": workers,
        "killed": 2 if kill else 0,
        "seconds": round(elapsed, 1),
        "requests_used": _used(before, after, REQUESTS, "requests") / (RPM * MARGIN * elapsed / 60),
        "tokens_used": _used(before, after, TOKENS, "tokens") / (TPM * MARGIN * elapsed / 60),
        "calls": calls,
        "refused": (after["refused_calls"] - before["refused_calls"]) / calls,
        "left_over": pending[0] if pending else 0,
    }


def _fill(connection: Connection, seconds: int) -> None:
    connection.execute(
        "INSERT INTO llm_lanes (lane, provider, model, requests_per_minute, tokens_per_minute, safety_margin) VALUES"
        " ('openai/' || %s, 'openai', %s, %s, NULL, %s), ('openai/' || %s, 'openai', %s, NULL, %s, %s)",
        (REQUESTS, REQUESTS, RPM, MARGIN, TOKENS, TOKENS, TPM, MARGIN),
    )
    requests, tokens = int(RPM / 60 * seconds * 1.2), int(TPM / 60 * seconds * 1.3)
    mean = (sum(SMALL) + sum(LARGE)) / 2
    for model, small, large, count in (
        (REQUESTS, (10, 20), (10, 20), requests),
        (TOKENS, SMALL, LARGE, int(tokens / mean)),
    ):
        connection.execute(
            "INSERT INTO llm_requests (provider, model, messages, params)"
            " SELECT 'openai', %s, jsonb_build_array(jsonb_build_object('role', 'user', 'content', n || repeat(' word', words))),"
            " jsonb_build_object('max_output_tokens', cap)"
            " FROM generate_series(1, %s) n CROSS JOIN LATERAL ("
            "   SELECT CASE n %% 2 WHEN 0 THEN %s ELSE %s END AS words, CASE n %% 2 WHEN 0 THEN %s ELSE %s END AS cap) size",
            (model, count, small[0], large[0], small[1], large[1]),
        )


def _await_workers(connection: Connection, workers: int) -> None:
    """The fleet as a whole is measured, so the clock starts when all of it is there."""
    while True:
        row = connection.execute("SELECT count(*) FROM llm_workers").fetchone()
        if row and row[0] >= workers:
            return
        time.sleep(0.1)


def _used(before: dict[str, Any], after: dict[str, Any], model: str, what: str) -> int:
    return int(after["admitted"][model][what]) - int(before["admitted"].get(model, {what: 0})[what])
