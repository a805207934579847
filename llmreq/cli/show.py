"""`llmreq show`: one request's whole story."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from llmreq.cli.context import ready_client, resolve
from llmreq.cli.output import (
    cell,
    console,
    dollars,
    fields_of,
    json_option,
    json_text,
    one_line,
    table,
    visible,
    write_json,
)
from llmreq.producer import steps
from llmreq.producer.request import Request

_FACTS = ("status", "wait_reason", "lane", "tenant_id", "agent_id", "task_type", "priority", "attempts")
_MORE = (
    "dedupe_key",
    "scheduled_at",
    "expires_at",
    "created_at",
    "claimed_at",
    "completed_at",
    "context",
    "params",
)
_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_CALLS = (
    "claim_seq",
    "outcome",
    "accepted",
    "lane",
    "http_status",
    "latency_ms",
    "input_tokens",
    "output_tokens",
)

_SHOWN_CHARS = 4_000
_TITLE_CHARS = 60
_PAGE = ("page", "status", "lane", "attempts", "input_tokens", "output_tokens")


@click.command()
@click.argument("id")
@json_option
def show(id: str, as_json: bool) -> None:
    """Show a request and its calls. ID: the UUID, or 8 or more of its first or last digits.

    \b
    llmreq show 5f3a91c2
    """
    with ready_client() as client:
        request = client.get(resolve(client, id))
        calls = client.run(steps.attempts(request.id))
        pages = client.run(steps.pages(request.id)) if request.pages else []
    if as_json:
        write_json({**fields_of(request), "calls": calls, **({"page_list": pages} if pages else {})})
        return
    console().print(Panel(Group(*_story(request)), title=str(request.id), title_align="left"))
    rows = [
        [*(call[name] for name in _CALLS), dollars(call["cost_usd"]), call["error_message"]] for call in calls
    ]
    table("Calls", [*_CALLS, "cost", "error"], rows)
    if pages:
        table(
            f"Pages ({request.pages_done} of {request.pages} done)",
            [*_PAGE, "cost", "error"],
            [
                [*(page[name] for name in _PAGE), dollars(page["cost_usd"]), page["error_message"]]
                for page in pages
            ],
        )


def _story(request: Request) -> list[Any]:
    facts = Table(box=None, show_header=False, pad_edge=False)
    values = {name: getattr(request, name) for name in (*_FACTS, *_MORE, *_TOKENS)}
    for name, value in values.items():
        if value not in (None, {}, 0) or name in ("status", "attempts", "priority"):
            facts.add_row(Text(name, "dim"), Text(cell(value, _SHOWN_CHARS)))
    facts.add_row(Text("cost", "dim"), dollars(request.cost_usd))
    parts: list[Any] = [facts]
    for title, text in _texts(request):
        parts += [Text(f"\n{one_line(title, _TITLE_CHARS)}", "bold"), Text(visible(_clipped(text)))]
    return parts


def _clipped(text: str) -> str:
    """A screenful of a long text; --json has all of it."""
    if len(text) <= _SHOWN_CHARS:
        return text
    half = _SHOWN_CHARS // 2
    return f"{text[:half]}\n … {len(text) - 2 * half:,} characters more (--json has them) …\n{text[-half:]}"


def _texts(request: Request) -> list[tuple[str, str]]:
    asked = [_message(each) for each in _listed(request.messages)]
    if request.content is not None:
        asked.append(("content", request.content))
    answered = [
        ("error", f"{request.error_code}: {request.error_message}" if request.error_code else None),
        ("validation errors", request.validation_errors),
        ("missing pages", _member(request.merge_report, "missing_pages") or None),
        ("parsed response", request.parsed_response),
        ("response", request.response if request.parsed_response is None else None),
    ]
    return asked + [(title, _as_text(value)) for title, value in answered if value is not None]


def _message(message: Any) -> tuple[str, str]:
    """Its role and what it says. A row that was refused may hold anything."""
    if not isinstance(message, dict):
        return "?", _as_text(message)
    return str(message.get("role", "?")), _as_text(message.get("content"))


def _listed(messages: Any) -> list[Any]:
    if messages is None:
        return []
    return messages if isinstance(messages, list) else [messages]


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value, indented=True)
