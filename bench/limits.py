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
CAPS = (20, 200)
"""Output caps of small and large requests; their prompts are ten to one as well."""


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
    insert = (
        "INSERT INTO llm_requests (provider, model, messages, params) SELECT 'openai', %s,"
        " jsonb_build_array(jsonb_build_object('role', 'user', 'content', n || repeat(' word', %s))),"
        " jsonb_build_object('max_output_tokens', %s::int) FROM generate_series(1, %s) n"
    )
    connection.execute(insert, (REQUESTS, 10, 20, int(RPM / 60 * seconds * 1.2)))
    for words, cap, count in ((60, CAPS[0], 10), (600, CAPS[1], 10)):
        connection.execute(insert, (TOKENS, words, cap, int(TPM / 60 * seconds / 600 * count / 10 * 1.3)))


def _used(before: dict[str, Any], after: dict[str, Any], model: str, what: str) -> int:
    return int(after["admitted"][model][what]) - int(before["admitted"].get(model, {what: 0})[what])
