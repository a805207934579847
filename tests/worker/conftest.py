from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmreq.simulator.process import Simulator
from tests.worker.fleet import Fleet, Table


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Simulator]:
    with Simulator(latency_ms="5") as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Simulator:
    shared_simulator.configure(latency_ms="5", faults={}, limits={})
    shared_simulator.reset()
    return shared_simulator


@pytest.fixture
def table(database: str) -> Iterator[Table]:
    table = Table(database)
    yield table
    assert table.all("SELECT * FROM llmreq_ledger_check") == [], "the books do not balance after this test"


@pytest.fixture
def fleet(database: str, simulator: Simulator, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(database, simulator, tmp_path)
    yield fleet
    fleet.stop()
