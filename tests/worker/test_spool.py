"""Outcomes on disk: none lost, none to another database, and no line holds up another."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from structlog.testing import capture_logs

from llmreq.simulator.process import Simulator
from llmreq.worker import replay as replay_module
from llmreq.worker import spool as spool_module
from llmreq.worker.link import Link
from llmreq.worker.replay import Replay
from llmreq.worker.settler import Settler
from llmreq.worker.spool import LineError, Spool, SpoolFile, decode
from tests.engine.queue import Queue, Row
from tests.worker.fleet import Fleet, Table
from tests.worker.test_claimer import until
from tests.worker.test_settler import answer, claimed, on_update, statuses


@pytest.fixture
def queue(database: str) -> Iterator[Queue]:
    queue = Queue.open(database)
    queue.run("SELECT set_config('llmreq.now', '', false)")
    yield queue
    assert queue.all("SELECT * FROM llmreq_ledger_check") == [], "the books do not balance after this test"


def spooled(folder: Path, *lines: bytes, name: str = "a.jsonl") -> Path:
    """A file that some worker left."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def replaying(
    url: str, worker: int, root: Path, done: Callable[[Settler], bool] = lambda settler: not settler.is_behind
) -> list[dict[str, Any]]:
    """Run the replay until it is `done`: its first pass is over. What it logged."""

    async def main() -> None:
        settler = Settler(Link(lambda: url, "test"), lambda: worker, 0.001)
        replay = Replay(Link(lambda: url, "test"), Spool(root), settler)
        settler.start()
        replay.start()
        await until(lambda: done(settler), seconds=10)
        await replay.stop()
        await settler.stop(patience_seconds=1)

    with capture_logs() as logs:
        asyncio.run(main())
    return list(logs)


def identified(queue: Queue, root: Path) -> Path:
    """The folder of this database."""
    id = uuid4()
    queue.run("INSERT INTO llmreq_meta (key, value) VALUES ('database_id', %s)", str(id))
    return root / str(id)


def lines(claims: list[Row]) -> list[bytes]:
    return [answer(claim).encoded for claim in claims]


def test_what_was_written_is_booked_and_its_file_removed(queue: Queue, database: str, tmp_path: Path) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 30)
    spool = Spool(tmp_path / "spool")
    path = spool.write([answer(claim) for claim in claims])
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    replaying(database, worker, spool.root)
    assert statuses(queue, claims) == {"completed"}
    assert files(spool.root) == []


def test_a_line_that_cannot_be_booked_is_set_aside_and_the_rest_goes_on(
    queue: Queue, database: str, tmp_path: Path
) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 3)
    (cursed,) = claimed(queue, worker, 1, agent_id="cursed")
    on_update(queue, "RAISE 'never';")
    first, second, third = lines(claims)
    bad = [b"no json", b'{"id": 1}', b"[" * 3000, b"", answer(cursed).encoded]
    folder = identified(queue, tmp_path)
    spooled(folder, first, bad[0], bad[1], second, bad[2], bad[3], bad[4], third)
    logs = replaying(database, worker, tmp_path)
    assert statuses(queue, claims) == {"completed"}
    assert files(tmp_path) == ["a.rejected"]
    assert sorted((folder / "a.rejected").read_bytes().split(b"\n")[:-1]) == sorted(bad)
    told = [line for line in logs if line["event"] == "spool_lines_rejected"]
    assert [(line["count"], line["path"]) for line in told] == [(5, str(folder / "a.rejected"))]
    queue.run("DROP TRIGGER zz_users_own ON llm_requests")
    queue.finish(worker, cursed)


def test_a_line_above_the_bound_is_set_aside_whole(
    queue: Queue, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "MAX_SPOOL_LINE_BYTES", 10_000)
    monkeypatch.setattr(spool_module, "SPOOL_CHUNK_BYTES", 1_000)
    worker = queue.worker()
    claims = claimed(queue, worker, 2)
    folder = identified(queue, tmp_path)
    spooled(folder, lines(claims)[0], b"x" * 34_567, lines(claims)[1])
    replaying(database, worker, tmp_path)
    assert statuses(queue, claims) == {"completed"}
    assert (folder / "a.rejected").read_bytes() == b"x" * 34_567 + b"\n"


def test_what_an_earlier_version_let_pass_is_made_storable(
    queue: Queue, database: str, tmp_path: Path
) -> None:
    worker = queue.worker()
    (claim,) = claimed(queue, worker, 1)
    facts = {**orjson.loads(lines([claim])[0]), "response": "a\0b", "service_tier": "c\0d"}
    spooled(identified(queue, tmp_path), orjson.dumps(facts))
    replaying(database, worker, tmp_path)
    assert queue.request(claim)["response"] == "a\ufffdb"
    assert files(tmp_path) == []


def test_integers_of_any_size_come_back_as_they_were() -> None:
    facts = {
        "id": str(uuid4()),
        "claim_seq": 1,
        "claimed_at": Queue.now.isoformat(),
        "parsed_response": 2**70,
    }
    assert b'"parsed_response":%d' % 2**70 in decode(json.dumps(facts).encode()).encoded.replace(b" ", b"")


@pytest.mark.parametrize("line", [b"7", b"null", b"[]", b'{"id":"x","claim_seq":1,"claimed_at":"now"}'])
def test_what_is_no_report_is_refused_by_name(line: bytes) -> None:
    with pytest.raises(LineError):
        decode(line)


def test_a_file_that_a_dead_process_was_writing_is_recovered(
    queue: Queue, database: str, tmp_path: Path
) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 3)
    folder = identified(queue, tmp_path)
    path = spooled(folder, *lines(claims), name="a.part")
    os.truncate(path, path.stat().st_size - 20)
    replaying(database, worker, tmp_path)
    assert statuses(queue, claims[:2]) == {"completed"}
    assert files(tmp_path) == ["a.rejected"]
    queue.finish(worker, claims[2])


def test_outcomes_of_another_database_are_left_to_it(queue: Queue, database: str, tmp_path: Path) -> None:
    worker = queue.worker()
    foreign = {"id": uuid4(), "claim_seq": 1, "claimed_at": queue.now, "max_output_tokens": 10}
    identified(queue, tmp_path)
    spooled(tmp_path / str(uuid4()), *lines([foreign]))
    spooled(tmp_path, *lines([foreign]), name="stray.jsonl")
    logs = replaying(database, worker, tmp_path)
    assert files(tmp_path) == ["a.jsonl", "stray.jsonl"]
    assert [line["event"] for line in logs if "spool" in line["event"]] == ["spool_of_unknown_database"]


def test_a_file_of_an_earlier_version_is_replayed_where_its_requests_are(
    queue: Queue, database: str, tmp_path: Path
) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 5)
    spooled(tmp_path, *lines(claims), name="old.jsonl")
    replaying(database, worker, tmp_path)
    assert statuses(queue, claims) == {"completed"}
    assert files(tmp_path) == []


def test_a_file_in_another_living_process_is_let_alone_and_a_dead_ones_taken_over(
    queue: Queue, database: str, tmp_path: Path
) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 2)
    path = spooled(identified(queue, tmp_path), *lines(claims))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        replaying(database, worker, tmp_path)
        assert path.exists()
        assert statuses(queue, claims) == {"processing"}
    finally:
        holder.kill()
        holder.wait()
    replaying(database, worker, tmp_path)
    assert statuses(queue, claims) == {"completed"}
    assert not path.exists()


HOLD = """
import sys
from pathlib import Path
from llmreq.worker.spool import SpoolFile
file = SpoolFile.open(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_writer_whose_file_was_taken_for_a_dead_ones_writes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = {"id": uuid4(), "claim_seq": 1, "claimed_at": Queue.now, "max_output_tokens": 10}
    real = spool_module._lock
    taken = []

    def late(file: Any) -> bool:
        if not taken:  # a replay came by between the opening and the lock
            taken.append(Path(file.name) if isinstance(file.name, str) else None)
            (part,) = tmp_path.glob("*.part")
            other = SpoolFile(part, part.open("rb"))
            other.finish()
        return real(file)

    monkeypatch.setattr(spool_module, "_lock", late)
    path = Spool(tmp_path).write([answer(claim)])
    assert path is not None
    assert path.read_bytes() == lines([claim])[0] + b"\n"


def test_a_spool_that_cannot_be_replayed_stops_no_worker(
    table: Table, fleet: Fleet, simulator: Simulator, tmp_path: Path
) -> None:
    spooled(tmp_path / "spool", b"no json", b'{"id":1}')
    row = table.insert(provider="openai", model="gpt-6-luna", content="hi")
    assert fleet.drain() == 0
    assert table.request(row)["status"] == "completed"
    assert "spool_of_unknown_database" in fleet.logs()
    assert files(tmp_path / "spool") == ["a.jsonl"]


def test_a_disk_that_takes_nothing_is_told_of(tmp_path: Path) -> None:
    claim = {"id": uuid4(), "claim_seq": 1, "claimed_at": Queue.now, "max_output_tokens": 10}
    blocked = tmp_path / "spool"
    blocked.write_text("a file where the folder should be")
    with capture_logs() as logs:
        assert Spool(blocked).write([answer(claim)]) is None
    assert [(line["event"], line["count"]) for line in logs] == [("reports_not_spooled", 1)]


def test_an_outcome_behind_a_lock_holds_up_no_other_of_its_file(
    queue: Queue, database: str, tmp_path: Path
) -> None:
    worker = queue.worker()
    claims = claimed(queue, worker, 20)
    path = spooled(identified(queue, tmp_path), *lines(claims))
    somebody = Queue.open(database)
    somebody.run("BEGIN")
    somebody.run("SELECT FROM llm_requests WHERE id = %s FOR UPDATE", claims[0]["id"])
    replaying(database, worker, tmp_path, lambda _: statuses(queue, claims[1:]) == {"completed"})
    somebody.run("ROLLBACK")
    assert statuses(queue, claims[1:]) == {"completed"}
    assert path.exists()
    replaying(database, worker, tmp_path)
    assert statuses(queue, claims) == {"completed"}
    assert not path.exists()


def test_a_file_behind_a_lock_holds_up_no_other_file(
    queue: Queue, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "REPLAY_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(replay_module, "REPLAY_LOOK_SECONDS", 0.1)
    worker = queue.worker()
    claims = claimed(queue, worker, 2)
    folder = identified(queue, tmp_path)
    for name, line in zip(("a.jsonl", "b.jsonl"), lines(claims), strict=True):
        spooled(folder, line, name=name)
    somebody = Queue.open(database)
    somebody.run("BEGIN")
    somebody.run("SELECT FROM llm_requests WHERE id = %s FOR UPDATE", claims[0]["id"])

    def both(_: Settler) -> bool:
        if statuses(queue, claims[1:]) == {"completed"}:
            somebody.run("ROLLBACK")
        return files(tmp_path) == []

    replaying(database, worker, tmp_path, both)
    assert statuses(queue, claims) == {"completed"}


def test_a_replay_that_is_stopped_leaves_its_file(
    queue: Queue, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "REPLAY_WINDOW", 2)
    worker = queue.worker()
    claims = claimed(queue, worker, 5)
    path = spooled(identified(queue, tmp_path), b"no json", *lines(claims))

    async def main() -> None:
        away = Link(lambda: "postgresql://nobody@127.0.0.1:1/none", "test")
        settler = Settler(away, lambda: worker, 0.001)
        replay = Replay(Link(lambda: database, "test"), Spool(tmp_path), settler)
        replay.start()
        await until(lambda: settler.backlog == 2)
        assert settler.is_behind
        await replay.stop()
        assert await settler.stop(patience_seconds=0) == []

    asyncio.run(main())
    assert files(tmp_path) == [path.name]
    replaying(database, worker, tmp_path)
    assert statuses(queue, claims) == {"completed"}
