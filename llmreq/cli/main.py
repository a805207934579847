"""The `llmreq` command: finds the subcommand's file and turns every known error into one line.

Exit codes: 0 done, 1 refused or failed (one line `llmreq: …` on stderr), 2 wrong usage.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click
import psycopg

from llmreq import __version__
from llmreq.cli.output import say
from llmreq.errors import LlmreqError

COMMANDS = {
    "demo": "llmreq.cli.demo:demo",
    "migrate": "llmreq.cli.migrate:migrate",
    "worker": "llmreq.cli.worker:worker",
    "enqueue": "llmreq.cli.enqueue:enqueue",
    "show": "llmreq.cli.show:show",
    "list": "llmreq.cli.list:list_requests",
    "wait": "llmreq.cli.wait:wait",
    "retry": "llmreq.cli.retry:retry",
    "cancel": "llmreq.cli.cancel:cancel",
    "status": "llmreq.cli.status:status",
    "agents": "llmreq.cli.agents:agents",
    "token-usage": "llmreq.cli.token_usage:token_usage",
    "budgets": "llmreq.cli.budgets:budgets",
    "prices": "llmreq.cli.prices:prices",
    "routes": "llmreq.cli.routes:routes",
    "limits": "llmreq.cli.limits:limits",
    "cleanup": "llmreq.cli.cleanup:cleanup",
    "doctor": "llmreq.cli.doctor:doctor",
    "pg": "llmreq.cli.pg:pg",
    "simulate": "llmreq.cli.simulate:simulate",
}
"""Subcommand → module:object, in the order of the help page. Only the called one's module is loaded."""


class Failure(click.ClickException):
    """Ends the command with one line and exit code 1."""

    def show(self, file: Any = None) -> None:  # noqa: ARG002 – click's signature
        say(f"llmreq: {self.message}")


class Commands(click.Group):
    """Loads subcommands when they are called and reports errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 – click's signature
        return [name for name, home in COMMANDS.items() if find_spec(home.partition(":")[0])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LlmreqError as error:
            raise Failure(error.message) from None
        except psycopg.Error as error:
            raise Failure(str(error).strip().partition("\n")[0] or type(error).__name__) from None


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="llmreq")
def cli() -> None:
    """Durable, governed LLM calls in plain Postgres.

    \b
    llmreq migrate                      make or update the tables
    llmreq worker                       call models for whatever is in the queue
    llmreq enqueue "Name three rivers" --wait
    """


def main() -> None:
    """The console script."""
    cli(prog_name="llmreq")
