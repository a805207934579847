"""`bin/permutations --rounds 10000 --seed 7`: sessions at once with random verbs, and proof that nothing broke."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from llmreq.database.embedded import EmbeddedPostgres
from llmreq.database.migrate import migrate
from llmreq.database.pg_cluster import Cluster
from llmreq.database.pg_settings import CLUSTER_SETTINGS
from tests.conftest import THROW_AWAY, folder_parents
from tests.permutations.rounds import BATCH, CHECK_EVERY, Rounds
from tests.permutations.stage import Stage


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=1000, show_default=True, help="How many rounds to play.")
@click.option("--seed", default=1, show_default=True, help="What is drawn.")
@click.option("--from", "first", default=0, show_default=True, help="The first round, to play a batch again.")
@click.option("--check-every", default=CHECK_EVERY, show_default=True, help="Check the books after so many.")
@click.option("--keep-going", is_flag=True, help="Go on with the next batch after a failure.")
def permutations(rounds: int, seed: int, first: int, check_every: int, keep_going: bool) -> None:
    """Play random permutations of sessions on a server of their own; exit 1 when a rule is broken."""
    failures = 0
    with server() as url:
        stage = Stage(url)
        played = Rounds(stage, seed, check_every)
        for at in range(first, first + rounds, BATCH):
            try:
                played.play(at, min(BATCH, first + rounds - at))
            except AssertionError as problem:
                failures += 1
                click.echo(f"FAILED: {problem}\n")
                if not keep_going:
                    break
        tally = played.tally
        click.echo(f"{tally.rounds} rounds in {tally.seconds:.1f} s, {failures} batches broken")
        for what, count in sorted(tally.counts.items()):
            click.echo(f"  {what:28} {count}")
        stage.close()
    sys.exit(1 if failures else 0)


@contextmanager
def server() -> Iterator[str]:
    """The URL of a migrated database on a throw-away server."""
    folder = Path(tempfile.mkdtemp(prefix="llmreq-permutations-", dir=folder_parents()[0]))
    folder.chmod(0o711)
    postgres = EmbeddedPostgres(Cluster(folder / "postgres", settings={**CLUSTER_SETTINGS, **THROW_AWAY}))
    try:
        url = postgres.ensure_running()
        migrate(url)
        yield url
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    permutations(prog_name="bin/permutations")
