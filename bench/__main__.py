"""`bin/bench WHAT`: measures, prints a table, and adds the figures to bench/results/."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bench import (
    backlog,
    chunking,
    documents,
    enqueue,
    fairness,
    idle,
    inflight,
    lanes,
    latency,
    limits,
    money,
    overhead,
    settle,
    snapshot,
    status,
)
from bench.report import write_report
from bench.rig import connect, machine
from llmreq.database.connection import database_url
from llmreq.settings import load_settings

RESULTS = Path(__file__).parent / "results"
Figures = dict[str, Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bench() -> None:
    """Measure llmreq on this machine, beside a baseline in the same run.

    The database server is the one that llmreq uses: LLMREQ_DATABASE_URL, else the embedded one. Each run makes a database and
    drops it.
    """


def measured(name: str) -> Callable[[Callable[..., Figures]], Callable[..., None]]:
    """Runs a measurement in a folder of its own; shows and keeps what it found."""

    def around(work: Callable[..., Figures]) -> Callable[..., None]:
        @wraps(work)  # with the options that click keeps on it
        def command(**options: Any) -> None:
            with _folder() as folder:
                _keep(name, work(folder, **options))

        return command

    return around


@bench.command("overhead")
@measured("overhead")
@click.option("--calls", default=10_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def _overhead(folder: Path, calls: int, rounds: int) -> Figures:
    """CPU and calls a second beside a bare aiohttp loop; 512 in flight, 200 ms."""
    return overhead.run(calls, rounds, folder)


@bench.command("settle")
@measured("settle")
@click.option("--rows", default=40_000, show_default=True)
def _settle(folder: Path, rows: int) -> Figures:  # noqa: ARG001
    """Rows a second through claim and finish beside a hand-written SQL loop."""
    return settle.run(rows)


@bench.command("latency")
@measured("latency")
@click.option("--samples", default=100, show_default=True)
def _latency(folder: Path, samples: int) -> Figures:
    """From the INSERT's commit to the provider, in an idle fleet; by polls and by the doorbell."""
    by_poll = latency.run(samples, folder, doorbell=False)
    by_bell = latency.run(samples, folder, doorbell=True)
    return {
        **{f"poll_{name}": value for name, value in by_poll.items() if name.endswith("_ms")},
        **{f"doorbell_{name}": value for name, value in by_bell.items() if name.endswith("_ms")},
    }


@bench.command("inflight")
@measured("inflight")
@click.option("--calls", default=10_000, show_default=True)
def _inflight(folder: Path, calls: int) -> Figures:
    """Memory of one process with so many calls in flight."""
    return inflight.run(calls, folder)


@bench.command("backlog")
@measured("backlog")
@click.option("--rows", default=1_000_000, show_default=True)
def _backlog(folder: Path, rows: int) -> Figures:  # noqa: ARG001
    """Buffers per claimed row: long backlog, delayed rows, many tenants, a blocked lane, an old snapshot."""
    return backlog.run(rows)


@bench.command("lanes")
@measured("lanes")
@click.option("--lanes", "count", default=100_000, show_default=True)
@click.option("--budgets", default=100_000, show_default=True)
@click.option("--tenants", default=200_000, show_default=True)
@click.option("--ended", default=1_000_000, show_default=True)
def _lanes(folder: Path, count: int, budgets: int, tenants: int, ended: int) -> Figures:  # noqa: ARG001
    """A poll and a claim beside lanes that are closed, delayed or idle, and budgets that are used up."""
    return lanes.run(count, budgets, tenants, ended)


@bench.command("snapshot")
@measured("snapshot")
@click.option("--rows", default=100_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def _snapshot(folder: Path, rows: int, rounds: int) -> Figures:  # noqa: ARG001
    """Draining under an old snapshot beside draining without one."""
    return snapshot.run(rows, rounds)


@bench.command("idle")
@measured("idle")
@click.option("--seconds", default=20, show_default=True)
def _idle(folder: Path, seconds: int) -> Figures:
    """What an idle worker costs."""
    return idle.run(seconds, folder)


@bench.command("limits")
@measured("limits")
@click.option("--seconds", default=120, show_default=True)
@click.option("--workers", default=8, show_default=True)
@click.option("--kill/--no-kill", default=True, show_default=True, help="Kill two workers with -9 meanwhile.")
def _limits(folder: Path, seconds: int, workers: int, kill: bool) -> Figures:
    """How fully a fleet uses a lane's requests and tokens a minute, and how often it is refused."""
    return limits.run(seconds, workers, kill, folder)


@bench.command("fairness")
@measured("fairness")
@click.option("--big", default=100_000, show_default=True)
def _fairness(folder: Path, big: int) -> Figures:
    """Small tenants beside a big one; a lane beside a blocked one."""
    return fairness.run(big, folder)


@bench.command("documents")
@measured("documents")
def _documents(folder: Path) -> Figures:
    """2 MB of English and 1 MB of mixed text through a stored agent; a worker killed half-way."""
    return documents.run(folder)


@bench.command("budget")
@measured("budget")
@click.option("--calls", default=5_000, show_default=True)
def _budget(folder: Path, calls: int) -> Figures:
    """A cap of one dollar under full concurrency: what is used of it, what was ever spent."""
    return money.budget(calls, folder)


@bench.command("bill")
@measured("bill")
@click.option("--calls", default=10_000, show_default=True)
def _bill(folder: Path, calls: int) -> Figures:
    """Our total beside the provider's own, with cached tokens, failures and invalid answers."""
    return money.bill(calls, folder)


@bench.command("usage")
@measured("usage")
@click.option("--calls", default=5_000_000, show_default=True)
def _usage(folder: Path, calls: int) -> Figures:
    """llmreq token-usage beside a plain SUM over the ledger."""
    return money.usage(calls, folder)


@bench.command("status")
@measured("status")
@click.option(
    "--lanes", default=100_000, show_default=True, help="And as many budgets, twice as many tenants."
)
@click.option("--ended", default=100_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def _status(folder: Path, lanes: int, ended: int, rounds: int) -> Figures:  # noqa: ARG001
    """llmreq status and the views over very many lanes, most closed or delayed."""
    return status.run(lanes, ended, rounds)


@bench.command("chunking")
@measured("chunking")
@click.option("--rounds", default=5, show_default=True)
def _chunking(folder: Path, rounds: int) -> Figures:  # noqa: ARG001
    """MB/s through chunk_text beside the splitters of `pip install llmreq[bench]`."""
    return chunking.run(rounds)


@bench.command("enqueue")
@measured("enqueue")
@click.option("--rows", default=100_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def _enqueue(folder: Path, rows: int, rounds: int) -> Figures:  # noqa: ARG001
    """enqueue_many beside a raw COPY of the same bytes, with and without our trigger."""
    return enqueue.run(rows, rounds)


@bench.command("all")
@click.option("--quick", is_flag=True, help="Small sizes: minutes instead of half an hour.")
@click.pass_context
def _all(ctx: click.Context, quick: bool) -> None:
    """Every measurement, then the report."""
    small: dict[str, dict[str, Any]] = {
        "overhead": {"calls": 3000, "rounds": 1},
        "settle": {"rows": 8000},
        "latency": {"samples": 20},
        "inflight": {"calls": 1000},
        "backlog": {"rows": 100_000},
        "snapshot": {"rows": 20_000, "rounds": 1},
        "idle": {"seconds": 5},
        "limits": {"seconds": 30},
        "fairness": {"big": 10_000},
        "budget": {"calls": 1_500},
        "bill": {"calls": 1_000},
        "usage": {"calls": 500_000},
        "enqueue": {"rows": 10_000},
    }
    for name, sizes in small.items():
        ctx.invoke(bench.commands[name], **(sizes if quick else {}))
    write_report(RESULTS)


@bench.command("report")
def _report() -> None:
    """Write the newest figures into docs/benchmarks.md."""
    write_report(RESULTS)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="llmreq-bench-") as folder:
        yield Path(folder)


def _keep(name: str, figures: Figures) -> None:
    click.echo(f"\n{name}")
    for what, value in figures.items():
        click.echo(f"  {what:36} {value:,.4g}" if isinstance(value, float) else f"  {what:36} {value}")
    with connect(database_url(load_settings())) as connection:
        about = machine(connection)
    RESULTS.mkdir(exist_ok=True)
    line = {"bench": name, "at": datetime.now(UTC).isoformat(timespec="seconds"), **about, "figures": figures}
    with (RESULTS / "results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    bench(prog_name="bin/bench")
