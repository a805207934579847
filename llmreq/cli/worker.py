"""`llmreq worker`."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import click

from llmreq.cli.context import ready_url
from llmreq.cli.logs import configure_logs
from llmreq.cli.output import say
from llmreq.cli.processes import die_with_parent, run_processes
from llmreq.database.connection import connect, database_url
from llmreq.database.page import ask_page
from llmreq.limits import EXIT_SECONDS, STATUS_ROWS
from llmreq.provider_settings import ProviderSettings
from llmreq.settings import Settings, load_settings
from llmreq.wire.provider import Provider
from llmreq.worker.event_loop import run
from llmreq.worker.main import Ending, run_worker


@click.command()
@click.option("--concurrency", type=click.IntRange(1, 20_000), help="Calls in flight in each process.")
@click.option("--processes", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option("--drain", is_flag=True, help="End when nothing can move; exit code 1 if anything is stuck.")
@click.option(
    "--parent-pipe", type=int, hidden=True, help="Held by a parent's children; see cli/processes.py."
)
@click.pass_context
def worker(
    ctx: click.Context, concurrency: int | None, processes: int, drain: bool, parent_pipe: int | None
) -> None:
    """Call models for whatever is in the queue, until SIGTERM. Logs are JSON lines on stderr.

    The first SIGTERM or Ctrl-C lets calls end, the second hands them back and ends within a second, the third ends at
    once. What Postgres did not take by then waits on disk.

    \b
    llmreq worker --concurrency 512 --processes 4
    llmreq worker --drain
    """
    configure_logs()
    if parent_pipe is not None:
        die_with_parent()
    settings = load_settings()
    settings = replace(settings, concurrency=concurrency or settings.concurrency)
    url = ready_url()
    if processes > 1:
        arguments = ["--concurrency", str(settings.concurrency), *(["--drain"] if drain else [])]
        ctx.exit(run_processes(processes, arguments))
    providers, unusable = callable_providers(settings)
    _calm_collector()
    work = run_worker(
        settings, partial(database_url, settings), providers, unusable, drain=drain, parent_pipe=parent_pipe
    )
    ctx.exit(run(_until_the_end(work, url)))


def callable_providers(settings: Settings) -> tuple[dict[str, Provider], dict[str, str]]:
    """The providers this process can call, and why it cannot call the others."""
    usable: dict[str, Provider] = {}
    unusable: dict[str, str] = {}
    for name, given in settings.providers.items():
        if not given.usable or given.base_url is None:
            unusable[name] = given.why_not or "it has no base_url"
        elif given.api not in ("openai", "anthropic"):
            unusable[name] = f"api {given.api!r} answers no chat requests"
        else:
            usable[name] = _as_provider(given, given.base_url)
    return usable, unusable


def _as_provider(given: ProviderSettings, base_url: str) -> Provider:
    provider = Provider(
        name=given.name,
        api="anthropic" if given.api == "anthropic" else "openai",
        base_url=base_url,
        api_key=given.api_key,
        # Only OpenAI itself insists on the new name; compatible servers often know the old one alone.
        max_tokens_field="max_completion_tokens" if given.name == "openai" else "max_tokens",
    )
    if given.max_tokens_field is not None:
        provider = replace(provider, max_tokens_field=given.max_tokens_field)
    if given.native_schema is not None:
        provider = replace(provider, native_schema=given.native_schema)
    return provider


async def _until_the_end(work: Coroutine[Any, Any, Ending], url: str) -> int:
    """The exit code; from here on the process ends by itself, whatever its threads still wait for."""
    ending = await work
    code = _report(ending, url)
    if ending.hurried:
        os._exit(code)
    leave = threading.Timer(EXIT_SECONDS, os._exit, (code,))
    leave.daemon = True
    leave.start()
    return code


def _report(ending: Ending, url: str) -> int:
    if ending.spooled:
        say(
            f"llmreq: the database did not take {ending.spooled} outcomes: they wait on disk for the next worker"
        )
    if not ending.stuck:
        return ending.exit_code
    with connect(url, application_name="llmreq cli", bounded=True) as connection:
        stuck = ask_page(connection, "stuck_lanes", limit=STATUS_ROWS)
        for lane in stuck.rows:
            why = "the lane is paused" if lane["wait_reason"] == "paused" else lane["error_message"]
            say(
                f"llmreq: {lane['lane']}: {lane['requests']} requests are stuck: {why or lane['wait_reason']}"
            )
        if stuck.more:
            say(f"llmreq: and {stuck.more:,} more lanes: llmreq status")
    return 1


def _calm_collector() -> None:
    """Thousands of calls in flight are young objects that live long: looking through them every 700 allocations finds nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
