"""Reports that Postgres did not take before the worker had to end wait on disk for the next one (invariant 3)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import structlog

from llmreq.worker.report import Report, report

log = structlog.get_logger()


def write_spool(folder: Path, reports: Sequence[Report]) -> Path | None:
    """Write reports to a new file that only this user can read; None when there is nothing to write."""
    if not reports:
        return None
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{uuid4()}.jsonl"
    handle = os.open(path.with_suffix(".part"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.writelines(each.encoded + b"\n" for each in reports)
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".part").rename(path)
    log.warning("reports_spooled", path=str(path), count=len(reports))
    return path


def read_spool(folder: Path) -> Iterator[tuple[Path, list[Report]]]:
    """Each spooled file with its reports. The caller deletes a file once its reports are settled."""
    for path in sorted(folder.glob("*.jsonl")):
        yield path, [_decode(line) for line in path.read_bytes().splitlines() if line]


def _decode(line: bytes) -> Report:
    facts = orjson.loads(line)
    claim = (
        UUID(facts.pop("id")),
        int(facts.pop("claim_seq")),
        datetime.fromisoformat(facts.pop("claimed_at")),
    )
    return report(*claim, facts)
