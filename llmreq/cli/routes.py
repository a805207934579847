"""`llmreq routes`."""

from __future__ import annotations

import click

from llmreq.cli.context import ready_connection
from llmreq.cli.output import json_option, say, table, write_json, write_json_lines
from llmreq.governor.routes import list_routes, remove_route, set_route


@click.group()
def routes() -> None:
    """Where requests without a model go.

    \b
    llmreq routes list
    """


@routes.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the routes; a star marks a candidate that a running worker can call.

    \b
    llmreq routes list
    """
    with ready_connection() as connection:
        found = list_routes(connection)
    if as_json:
        write_json_lines(found)
        return
    rows = [
        [
            row["id"],
            *(row[name] or "any" for name in ("task_type", "complexity", "quality")),
            " → ".join(f"{lane}*" if lane in row["served"] else lane for lane in row["candidates"]),
            row["enabled"],
            row["note"],
        ]
        for row in found
    ]
    table("Routes", ["id", "task type", "complexity", "quality", "candidates", "enabled", "note"], rows)


@routes.command("set")
@click.argument("candidates", nargs=-1, required=True)
@click.option("--task-type")
@click.option("--complexity", type=click.Choice(["simple", "medium", "complex"]))
@click.option("--quality", type=click.Choice(["basic", "good", "premium"]))
@click.option("--note")
@json_option
def set_(
    candidates: tuple[str, ...],
    task_type: str | None,
    complexity: str | None,
    quality: str | None,
    note: str | None,
    as_json: bool,
) -> None:
    """Set the candidates for a combination, first choice first; what is left out matches everything.

    \b
    llmreq routes set --task-type tagging local/rules openai/gpt-6-luna
    """
    with ready_connection() as connection:
        id = set_route(
            connection, candidates, task_type=task_type, complexity=complexity, quality=quality, note=note
        )
    if as_json:
        write_json({"id": id})
    else:
        say(f"Route {id} is set.")


@routes.command("remove")
@click.argument("id", type=int)
@json_option
def remove(id: int, as_json: bool) -> None:
    """Delete a route; requests that are on it stay in their lanes.

    \b
    llmreq routes remove 7
    """
    with ready_connection() as connection:
        remove_route(connection, id)
    if as_json:
        write_json({"id": id})
    else:
        say(f"Route {id} is removed.")
