"""Starts the stub provider as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Provider:
    """A running stub."""

    port: int
    pid: int

    @property
    def base_url(self) -> str:
        """As OPENAI_BASE_URL wants it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def times(self) -> list[float]:
        """When requests came since the last question, by the machine's monotonic clock."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}/times", trust_env=False)
        return [float(moment) for moment in answer.json()]


@contextmanager
def stub(delay_ms: float) -> Iterator[Provider]:
    """A stub that ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.stub", str(delay_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield Provider(int(process.stdout.readline()), process.pid)
    finally:
        process.kill()
        process.communicate()
