"""`--processes N`: the children of a parent that was killed end by themselves, and their work goes on elsewhere."""

from __future__ import annotations

from pathlib import Path

from llmreq.simulator.process import Simulator
from tests.worker.fleet import Fleet, Table, until
from tests.worker.test_resilience import BULK, OPEN


def test_children_of_a_killed_parent_drain_and_end(table: Table, fleet: Fleet, simulator: Simulator) -> None:
    simulator.configure(latency_ms="400")
    table.all(BULK, 20)
    parent = fleet.start("--processes", "2", "--concurrency", "5", LLMREQ_DRAIN_SECONDS="5")
    until("both to call", lambda: simulator.state()["in_flight"] == 10)
    children = _children(parent.pid)
    assert len(children) == 2
    parent.kill()
    parent.wait()
    until("the children to end", lambda: not any(map(_runs, children)), seconds=10)
    assert table.all("SELECT * FROM llm_workers") == [], "they retired, as after a SIGTERM"
    assert table.count("status = 'processing'") == 0
    assert 0 < table.count("status = 'completed'") < 20
    assert "parent_gone" in fleet.logs()
    assert fleet.drain() == 0
    assert table.count(OPEN) == 0
    assert len(simulator.calls()) == 20


def _children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in found]


def _runs(pid: int) -> bool:
    """Neither gone nor a zombie that nobody waits for."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
