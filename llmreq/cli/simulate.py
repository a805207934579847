"""`llmreq simulate`"""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8089, show_default=True, help="0 picks a free one.")
@click.option("--latency-ms", default="200", show_default=True, help="A number, uniform:LOW:HIGH or lognormal:MEDIAN:SIGMA.")
@click.option("--seed", type=int, default=0, show_default=True, help="For random faults and latencies.")
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Also append every call to this file, as JSON lines.")
def simulate(port: int, latency_ms: str, seed: int, ledger: Path | None) -> None:
    """Run a provider to test against, OpenAI- and Anthropic-shaped, with its own bill.

    Example: llmreq simulate --port 8089, then OPENAI_BASE_URL=http://127.0.0.1:8089/v1 OPENAI_API_KEY=sk-test llmreq worker
    """
    from llmreq.simulator.__main__ import main

    arguments = ["--port", str(port), "--latency-ms", latency_ms, "--seed", str(seed)]
    main([*arguments, "--ledger", str(ledger)] if ledger else arguments)
