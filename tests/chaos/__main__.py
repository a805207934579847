"""`bin/chaos --seed N`: half a minute of bad weather, then the proof that nothing was lost."""

from __future__ import annotations

import sys
import time

import click

from tests.chaos.by_hand import UNTRIGGER
from tests.chaos.census import is_running
from tests.chaos.checks import OPEN, check, check_cap, tally
from tests.chaos.events import EVENTS
from tests.chaos.scene import Scene, scene
from tests.worker.fleet import until

WORKERS = 4
ENDED = "status = 'completed'"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--seed", type=int, multiple=True, default=(1,), show_default=True, help="May be given several times."
)
@click.option("--seconds", default=30, show_default=True, help="How long the storm lasts.")
@click.option(
    "--events", type=int, help="How many events it has, however long they take; instead of --seconds."
)
@click.option("--quiet", is_flag=True, help="Only the result.")
def chaos(seed: tuple[int, ...], seconds: int, events: int | None, quiet: bool) -> None:
    """Kill, freeze, cut, poison and crash everything that can be, by a seed, and check the books afterwards."""
    failed = [number for number in seed if not _run(number, seconds, events, quiet)]
    sys.exit(f"failed with seeds {failed}" if failed else 0)


def _run(seed: int, seconds: int, events: int | None, quiet: bool) -> bool:
    with scene(seed) as stage:
        if not stage.bouncer_port:
            click.echo("PgBouncer is not installed: this run goes without it")
        try:
            _storm(stage, seconds, events, quiet)
            _calm(stage)
            check(stage)
        except AssertionError as problem:
            click.echo(f"seed {seed}: FAILED: {problem}")
            click.echo(stage.fleet.logs()[-6000:])
            return False
        click.echo(f"seed {seed}: holds")
        for what, count in tally(stage).items():
            click.echo(f"  {what:36} {count}")
    return True


def _storm(stage: Scene, seconds: int, events: int | None, quiet: bool) -> None:
    for _ in range(WORKERS):
        stage.start_worker()
    stage.producer.start()
    until(
        "the first answers of every worker",
        lambda: len(stage.census.pids) >= WORKERS and stage.table.count(ENDED),
    )
    began = time.monotonic()
    done = 0
    while done < events if events else time.monotonic() - began < seconds:
        time.sleep(stage.chance.uniform(0.5, 2.5))
        while len(stage.alive()) < WORKERS:
            stage.start_worker()
        what = stage.chance.choice(EVENTS)(stage)
        done += 1
        stage.tally[f"event: {what}"] += 1
        if not quiet:
            click.echo(f"  {time.monotonic() - began:5.1f} s  {what}")
    stage.producer.stop()


def _calm(stage: Scene) -> None:
    """Everything works again; all must come to an end, and what was spooled must be settled."""
    stage.server.ensure_running()
    stage.undo()
    stage.simulator.configure(outage=False, faults={})
    stage.insist(UNTRIGGER)
    check_cap(stage)
    stage.table.all("UPDATE llm_lanes SET blocked_until = NULL, breaker_opened = 0, consecutive_failures = 0")
    until(
        "the children of killed parents to end", lambda: not any(map(is_running, stage.orphans)), seconds=15
    )
    while len(stage.alive()) < 2:
        stage.start_worker()
    until("every request to end", lambda: stage.table.count(OPEN) == 0, seconds=180)
    until("the dead to be buried", lambda: not _dead_workers(stage), seconds=30)
    for worker in stage.alive():
        worker.terminate()
    for worker in stage.fleet.workers:
        worker.wait(60)
    # Reports that were spooled while Postgres was away belong to whoever starts there next.
    stage.fleet.start("--drain", LLMREQ_DATABASE_URL=stage.url).wait(60)


def _dead_workers(stage: Scene) -> list[int]:
    """Rows of workers that do not run any more."""
    rows = stage.table.all("SELECT id, name FROM llm_workers")
    return [row["id"] for row in rows if not is_running(int(row["name"].rpartition(":")[2]))]


if __name__ == "__main__":
    chaos(prog_name="bin/chaos")
