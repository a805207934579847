"""The simulator as a child process: what the demo, the tests and the benchmarks start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import orjson


class Simulator:
    """Starts on entering, ends on leaving, and ends by itself when this process dies. The prices of `bill.PRICES` apply."""

    def __init__(self, *, latency_ms: str = "0", seed: int = 0, port: int = 0, ledger: Path | None = None) -> None:
        self._arguments = ["--latency-ms", latency_ms, "--seed", str(seed), "--port", str(port)]
        if ledger is not None:
            self._arguments += ["--ledger", str(ledger)]
        self._process: subprocess.Popen[bytes] | None = None
        self._http: httpx.Client | None = None
        self.openai_base_url = ""
        self.anthropic_base_url = ""

    def __enter__(self) -> Simulator:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "llmreq.simulator", "--with-parent", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = orjson.loads(self._process.stdout.readline())
        self.openai_base_url = line["openai_base_url"]
        self.anthropic_base_url = line["anthropic_base_url"]
        self._http = httpx.Client(base_url=f"{self.anthropic_base_url}/_sim", trust_env=False, timeout=30)
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.anthropic_base_url.rpartition(":")[2])

    def ledger(self) -> dict[str, Any]:
        """The bill so far; `cost_usd` and `delivered_cost_usd` are exact decimals as text."""
        return dict(self._get("ledger"))

    def calls(self) -> list[dict[str, Any]]:
        """Every call it answered."""
        return list(self._get("calls"))

    def state(self) -> dict[str, int]:
        """`in_flight` and `most_in_flight`."""
        return dict(self._get("state"))

    def configure(self, **settings: Any) -> None:
        """Change `latency_ms`, `faults`, `limits`, `prices` or `seed`."""
        assert self._http is not None
        self._http.post("/config", json=settings).raise_for_status()

    def reset(self) -> None:
        """Empty the books and the scripts' counters."""
        assert self._http is not None
        self._http.post("/reset").raise_for_status()

    def kill(self) -> None:
        """End at once, as a crash would."""
        if self._http is not None:
            self._http.close()
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _get(self, what: str) -> Any:
        assert self._http is not None
        return self._http.get(f"/{what}").raise_for_status().json()
