"""A connection that breaks between a claim and our hearing of it leaves no request behind."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from llmreq.worker import engine
from llmreq.worker.claimer import Claimer
from llmreq.worker.link import Link
from tests.engine.queue import Queue


class Calls:
    """Takes claims as a caller does."""

    def __init__(self) -> None:
        self.started: list[engine.Claim] = []
        self.in_flight = 0
        self.backlog = 0
        self.three = asyncio.Event()

    @property
    def ids(self) -> set[Any]:
        return {claim.id for claim in self.started}

    def start(self, claim: engine.Claim) -> None:
        self.started.append(claim)
        if len(self.started) == 3:
            self.three.set()


@pytest.mark.parametrize("breaks_in", ["claim", "read"])
def test_a_claim_whose_answer_was_lost_is_found_and_called_once(
    database: str, breaks_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue.open(database)
    queue.run("SELECT set_config('llmreq.now', '', false)")
    for _ in range(3):
        queue.insert()
    worker = queue.worker()
    real = getattr(engine, breaks_in)
    broken = [True]

    async def breaking(*arguments: Any) -> Any:
        result = await real(*arguments)
        if broken:
            broken.clear()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return result

    monkeypatch.setattr(engine, breaks_in, breaking)
    calls = Calls()

    async def main() -> None:
        claimer = Claimer(Link(lambda: database, "test"), lambda: worker, calls, calls, 0.01, 2, 10)
        claimer.start()
        async with asyncio.timeout(20):
            await calls.three.wait()
        await claimer.stop()

    asyncio.run(main())
    assert len(calls.ids) == len(calls.started) == 3
    assert {claim.claim_seq for claim in calls.started} == {1}
    for claim in queue.all("SELECT * FROM llm_requests"):
        queue.finish(worker, {**claim, "max_output_tokens": 10})
