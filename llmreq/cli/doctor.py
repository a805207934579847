"""`llmreq doctor`."""

from __future__ import annotations

from functools import partial

import click
from rich.text import Text

from llmreq.cli.output import console, json_option, one_line, write_json
from llmreq.database.connection import database_url
from llmreq.limits import LINE_CHARS
from llmreq.reports.doctor import Finding, diagnose
from llmreq.settings import load_settings

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check everything a healthy installation needs. Exit code 1 when something fails.

    \b
    llmreq doctor
    """
    settings = load_settings()
    findings = []
    for finding in diagnose(settings, partial(database_url, settings)):
        findings.append(finding)
        if not as_json:
            console().print(_line(finding))
    if as_json:
        write_json({"findings": findings})
    ctx.exit(1 if any(finding.level == "fail" for finding in findings) else 0)


def _line(finding: Finding) -> Text:
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    text = one_line(f"{finding.check}: {finding.message}{remedy}", LINE_CHARS)
    return Text.assemble((f"{finding.level:5}", _STYLES[finding.level]), text)
