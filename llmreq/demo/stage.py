"""What the demo needs around it: a database, a provider to call, a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmreq.errors import SettingsError
from llmreq.settings import Settings
from llmreq.simulator.process import Simulator

WORKER_END_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Provider:
    """Whom the demo's worker calls: environment for the worker, and the simulator when it is one."""

    environment: Mapping[str, str]
    simulator: Simulator | None


@contextmanager
def provider(settings: Settings, name: str) -> Iterator[Provider]:
    """The simulator as a real HTTP server of its own, or a real provider whose key is set. Raises SettingsError."""
    if name != "simulator":
        wanted = settings.providers[name]
        if not wanted.usable:
            raise SettingsError(f"cannot use {name}: {wanted.why_not}")
        yield Provider({}, None)
        return
    with Simulator(latency_ms="lognormal:120:0.4", seed=7) as simulator:
        yield Provider(
            {
                "OPENAI_BASE_URL": simulator.openai_base_url,
                "OPENAI_API_KEY": "sk-demo-openai",
                "ANTHROPIC_BASE_URL": simulator.anthropic_base_url,
                "ANTHROPIC_API_KEY": "sk-demo-anthropic",
            },
            simulator,
        )


@contextmanager
def worker(url: str, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process like any other; its log goes to a file. Ended by SIGTERM, as a service manager would."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "llmreq", "worker"],
            env={**os.environ, **environment, "LLMREQ_DATABASE_URL": url},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=WORKER_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
