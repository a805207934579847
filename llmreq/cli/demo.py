"""`llmreq demo`"""

from __future__ import annotations

import click
from rich.console import Console

from llmreq.settings import load_settings


@click.command()
@click.option(
    "--provider",
    type=click.Choice(["simulator", "openai", "anthropic"]),
    default="simulator",
    show_default=True,
    help="Whom to call; a real one needs its key in the environment and costs a fraction of a cent.",
)
def demo(provider: str) -> None:
    """Show the whole of it: requests in, a worker, checked and costed answers.

    Example: llmreq demo --provider openai
    """
    from llmreq.demo.play import play

    play(load_settings(), Console(), provider)
