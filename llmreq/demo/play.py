"""The demo from beginning to end: insert, work, show."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row
from rich.console import Console
from rich.live import Live
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from llmreq.database.connection import connect, database_url, describe
from llmreq.database.migrate import migrate
from llmreq.database.statements import data_root, statement
from llmreq.demo import stage, story
from llmreq.errors import LlmreqError
from llmreq.producer.client import Client
from llmreq.settings import Settings

PATIENCE_SECONDS = 240
DOCUMENT = "field-notes.txt"

Connection = psycopg.Connection[dict[str, Any]]


def play(settings: Settings, console: Console, provider_name: str) -> None:
    """Run the whole demo. Raises LlmreqError with one line when something it needs is missing."""
    console.rule("[bold]llmreq: a row goes in, a checked and costed answer comes out")
    url = database_url(settings)
    migrate(url)
    console.print(
        f"Postgres: {describe(url)}{'' if settings.database_url else ' (embedded, started for you)'}"
    )
    run_id = uuid4()
    with connect(url) as connection, stage.provider(settings, provider_name) as provider:
        connection.row_factory = dict_row
        _set_budget(connection, console)
        _insert(connection, console, run_id, simulated=provider.simulator is not None)
        document = _insert_document(url, console, run_id)
        tool_turn = Client(url).enqueue(
            messages=story.TOOL_QUESTION, tools=story.TOOLS, task_type="tools", run_id=run_id
        )
        console.print("\n[bold]…and one through the Python helper, with a tool it may call[/bold]")
        console.print(
            Syntax(
                "id = Client().enqueue(messages=[{'role': 'user', 'content': 'How high is the tide …'}], tools=TOOLS)",
                "python",
                background_color="default",
            )
        )
        log = settings.data_dir / "demo-worker.log"
        with stage.worker(url, provider.environment, log) as worker:
            _answer_tool_call(url, console, tool_turn, run_id)
            _watch(connection, console, run_id, worker, log)
        _show_outcomes(connection, console, run_id)
        _show_document(connection, console, document)
        if provider.simulator is not None:
            _compare_bills(connection, console, run_id, provider.simulator)
    _show_what_next(console, settings, run_id)


def _set_budget(connection: Connection, console: Console) -> None:
    console.print(
        "\n[bold]A budget is a row, too[/bold]: dollars or tokens, per hour, day, month or for ever"
    )
    console.print(Syntax(f"{story.BUDGET};", "sql", background_color="default", word_wrap=True))
    connection.execute(f"{story.BUDGET} ON CONFLICT DO NOTHING")


def _insert(connection: Connection, console: Console, run_id: UUID, *, simulated: bool) -> None:
    console.print(
        "\n[bold]Plain INSERTs, as any language can send them[/bold] (each also gets a run_id here)"
    )
    for scene in story.SCENES:
        if scene.simulated and not simulated:
            continue
        console.print(Text(f"\n-- {scene.title}", style="green"))
        console.print(Syntax(scene.sql, "sql", background_color="default", word_wrap=True))
        row = connection.execute(scene.sql.rstrip(";") + " RETURNING id").fetchone()
        assert row is not None  # RETURNING of one inserted row
        connection.execute("UPDATE llm_requests SET run_id = %s WHERE id = %s", (run_id, row["id"]))


def _insert_document(url: str, console: Console, run_id: UUID) -> UUID:
    path = data_root() / "examples" / DOCUMENT
    text = path.read_text()
    console.print(
        f"\n[bold]A document[/bold] of {len(text):,} characters ({DOCUMENT}), chunked and tagged by local/rules"
    )
    return Client(url).enqueue(content=text, task_type="chunking", run_id=run_id)


def _answer_tool_call(url: str, console: Console, first: UUID, run_id: UUID) -> None:
    """The second turn of the conversation: a row of its own, with the tool's result."""
    client = Client(url)
    turn = client.wait(first, timeout_seconds=PATIENCE_SECONDS)
    if not isinstance(turn.parsed_response, dict) or not turn.parsed_response.get("tool_calls"):
        return  # the model answered without its tool, or failed: the table tells
    calls = turn.parsed_response["tool_calls"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": story.tide_at(**call["params"])}
        for call in calls
    ]
    for call, result in zip(calls, results, strict=True):
        console.print(f"\ntool call: {call['tool_name']}({call['params']}) → {result['content']}")
    messages = [*story.TOOL_QUESTION, {"role": "assistant", "tool_calls": calls}, *results]
    client.enqueue(messages=messages, tools=story.TOOLS, task_type="tools", run_id=run_id)


def _watch(connection: Connection, console: Console, run_id: UUID, worker: Any, log: Path) -> None:
    """A live count until every request has ended."""
    until = time.monotonic() + PATIENCE_SECONDS
    with Live(console=console, refresh_per_second=10, transient=not console.is_terminal) as live:
        while True:
            rows = connection.execute(statement("demo_progress"), {"run_id": run_id}).fetchall()
            counts = {row["status"]: row["n"] for row in rows}
            live.update(Text("  ".join(f"{status} {n}" for status, n in sorted(counts.items()))))
            if not counts.keys() & {"pending", "processing", "waiting"}:
                return
            if worker.poll() is not None:
                raise LlmreqError(f"the worker ended early: see {log}")
            if time.monotonic() > until:
                raise LlmreqError(
                    f"not all requests ended within {PATIENCE_SECONDS} s: see {log} and llmreq status"
                )
            time.sleep(0.1)


def _show_outcomes(connection: Connection, console: Console, run_id: UUID) -> None:
    table = Table(title="What came back, in the same rows", title_justify="left")
    for column in ("question", "lane", "status", "calls"):
        table.add_column(column, overflow="fold")
    table.add_column("tokens in/out", justify="right")
    table.add_column("cost USD", justify="right")
    table.add_column("answer, or what was wrong", overflow="fold", ratio=2)
    for row in connection.execute(statement("demo_outcomes"), {"run_id": run_id}):
        style = {"completed": "green", "failed": "red"}.get(row["status"], "yellow")
        table.add_row(
            Text(_short(row["question"], 44)),
            row["lane"] or "–",
            Text(row["status"], style=style),
            f"{row['pages']} pages" if row["pages"] else str(row["attempts"]),
            f"{row['tokens_in']}/{row['tokens_out']}",
            "unknown" if row["cost_usd"] is None else f"{row['cost_usd']:.6f}",
            Text(_finding(row)),
        )
    console.print()
    console.print(table)


def _finding(row: dict[str, Any]) -> str:
    lines = []
    for error in row["validation_errors"] or []:
        lines.append(f"{error['type']}: {error['field'] or ''} {error['message']}".replace("  ", " "))
    if row["repairs"]:
        lines.append(f"repaired: {', '.join(repair['type'] for repair in row['repairs'])}")
    if row["status"] == "completed":
        lines.append(_short(row["response"] or json.dumps(row["parsed_response"]), 90))
    elif row["error_code"]:
        lines.append(f"{row['error_code']}: {row['error_message']}")
    return "\n".join(lines)


def _show_document(connection: Connection, console: Console, document: UUID) -> None:
    row = connection.execute("SELECT parsed_response FROM llm_requests WHERE id = %s", (document,)).fetchone()
    result = row["parsed_response"] if row else None
    if not result:
        return
    table = Table(title=f"The document's {len(result['chunks'])} chunks (first six)", title_justify="left")
    for column in ("tokens", "language", "speaker", "entities", "labels", "summary"):
        table.add_column(column, overflow="fold")
    for chunk in result["chunks"][:6]:
        table.add_row(
            str(chunk["tokens"]),
            chunk["language"],
            chunk["speaker"] or "–",
            ", ".join(_unique(entity["text"] for entity in chunk["entities"])[:4]),
            ", ".join(chunk["labels"][:4]),
            _short(chunk["summary"], 80),
        )
    console.print(table)


def _compare_bills(connection: Connection, console: Console, run_id: UUID, simulator: Any) -> None:
    row = connection.execute(
        "SELECT sum(cost_usd) AS usd, count(*) AS calls FROM llm_attempts WHERE run_id = %s AND provider <> 'local'",
        (run_id,),
    ).fetchone()
    assert row is not None  # an aggregate always has a row
    bill = simulator.ledger()["cost_usd"]
    console.print(
        f"Our ledger: {row['calls']} calls, ${row['usd']:.8f}. The provider's own bill: ${float(bill):.8f}."
    )


def _show_what_next(console: Console, settings: Settings, run_id: UUID) -> None:
    console.print("\n[bold]The database is yours to explore[/bold]")
    lines = ["llmreq list", "llmreq show ID", "llmreq status", "llmreq worker   # with your own keys"]
    if settings.database_url is None:
        lines.insert(0, "llmreq pg psql  # SELECT id, status, cost_usd, response FROM llm_requests;")
    for line in lines:
        console.print(f"  {line}", highlight=False)
    console.print(f"  (this run's requests carry run_id {run_id})", highlight=False)


def _unique(values: Any) -> Sequence[str]:
    return list(dict.fromkeys(values))


def _short(text: str, limit: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
