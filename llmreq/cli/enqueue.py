"""`llmreq enqueue`: one request from flags, or one per JSON line of stdin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from llmreq.cli.context import ready_client
from llmreq.cli.jsonl import enqueue_lines
from llmreq.cli.output import json_option, say, write_json
from llmreq.cli.wait import wait_and_write
from llmreq.producer import steps
from llmreq.producer.client import Client


@click.command()
@click.argument("text", required=False)
@click.option("--messages", help='JSON: [{"role": "user", "content": "…"}].')
@click.option("--content", help="Text for a stored agent or an embedding.")
@click.option("--file", type=click.File("r", encoding="utf-8"), help="The same from a file (- is stdin).")
@click.option("--schema", help="JSON Schema the answer must meet: a file, or JSON.")
@click.option("--tools", help="Tools: a file, or JSON.")
@click.option("--provider")
@click.option("--model", help="Left out: chosen by the routes.")
@click.option("--agent", "agent_name", help="Run a stored agent on TEXT, --content or --file.")
@click.option("--agent-version", type=click.IntRange(min=1), help="Default: the newest.")
@click.option("--tenant", "tenant_id")
@click.option("--task-type")
@click.option("--priority", type=click.IntRange(0, 9), help="0 first, 9 last; default 5.")
@click.option("--dedupe-key", help="Inserting twice is inserting once.")
@click.option(
    "--param", "params", multiple=True, metavar="NAME=VALUE", help="Such as temperature=0; repeatable."
)
@click.option("--wait", is_flag=True, help="Wait for the answer and write it; exit codes as of llmreq wait.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=300.0, help="Seconds, with --wait; default 300."
)
@json_option
@click.pass_context
def enqueue(
    ctx: click.Context,
    /,
    text: str | None,
    file: Any,
    wait: bool,
    timeout: float,
    as_json: bool,
    **flags: Any,
) -> None:
    """Put a request into the queue and write its id.

    Without a message: one request per JSON line of stdin, with the flags as defaults.
    Exit code 1 when a request was refused; the good lines are inserted all the same.

    \b
    llmreq enqueue "Name three rivers" --model openai/gpt-6-luna --wait
    llmreq enqueue --agent entity-extractor --file book.txt --wait
    llmreq enqueue --file report.txt --schema person.json --param temperature=0
    llmreq enqueue --task-type triage < tickets.jsonl
    """
    columns = _columns(flags)
    questions = [each for each in (text, flags["messages"], flags["content"], file) if each is not None]
    if len(questions) > 1:
        raise click.UsageError("give one of TEXT, --messages, --content and --file")
    if not questions and sys.stdin.isatty():
        raise click.UsageError("give a message, or JSON lines on stdin")
    if not questions and wait:
        raise click.UsageError("--wait takes one request, not JSON lines")
    if text is not None and "agent_name" in columns:
        columns["content"] = text
    elif text is not None:
        columns["messages"] = [{"role": "user", "content": text}]
    if file is not None:
        columns["content"] = _read(file)
    with ready_client() as client:
        if not questions:
            ctx.exit(_lines(client, sys.stdin.buffer, columns, as_json=as_json))
        id = client.enqueue(**columns)
        if wait:
            ctx.exit(wait_and_write(client, id, timeout, as_json=as_json))
        if as_json:
            write_json({"id": id})
        else:
            click.echo(str(id))
        for problem in client.run(steps.refused([id])).values():
            say(f"llmreq: request {id} was refused: {problem}")
            ctx.exit(1)


def _lines(client: Client, stdin: BinaryIO, defaults: dict[str, Any], *, as_json: bool) -> int:
    good = bad = 0
    for line in enqueue_lines(client, _with_progress(stdin), defaults):
        if line.problem is None:
            good += 1
        else:
            bad += 1
            say(f"line {line.number}: {line.problem}")
        if as_json:
            write_json(line)
        elif line.id is not None and line.problem is None:
            click.echo(str(line.id))
    say(f"{good} requests enqueued" + (f", {bad} lines refused" if bad else ""))
    return 1 if bad else 0


def _with_progress(lines: Iterable[bytes]) -> Iterator[bytes]:
    if not sys.stderr.isatty() or sys.stdout.isatty():  # ids on the same screen would tear the bar
        yield from lines
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(lines, description="lines")


def _columns(flags: dict[str, Any]) -> dict[str, Any]:
    columns = {
        name: flags[name]
        for name in (
            "content",
            "agent_name",
            "agent_version",
            "provider",
            "model",
            "tenant_id",
            "task_type",
            "priority",
        )
    }
    columns["dedupe_key"] = flags["dedupe_key"]
    columns["messages"] = _json("--messages", flags["messages"])
    columns["response_schema"] = _json("--schema", flags["schema"])
    columns["tools"] = _json("--tools", flags["tools"])
    columns["params"] = dict(map(_param, flags["params"])) or None
    return {name: value for name, value in columns.items() if value is not None}


def _json(option: str, given: str | None) -> Any:
    if given is None:
        return None
    try:
        inline = given.lstrip().startswith(("{", "[")) or given in ("true", "false")
        return json.loads(given if inline else Path(given).read_text(encoding="utf-8"))
    except OSError as error:
        raise click.UsageError(f"{option}: {given}: {error.strerror}, and it is no JSON either") from None
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{option}: not JSON: {error}") from None


def _param(given: str) -> tuple[str, Any]:
    name, equals, value = given.partition("=")
    if not (name and equals):
        raise click.UsageError(f"--param {given}: write NAME=VALUE")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _read(file: Any) -> str:
    try:
        return str(file.read())
    except UnicodeDecodeError:
        raise click.UsageError(f"--file {file.name}: not UTF-8 text") from None
