"""`llmreq agents`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from llmreq.agent.changes import Change, schema_changes
from llmreq.agent.definition import AgentDefinition, agent_document, read_agent
from llmreq.cli.context import ready_client
from llmreq.cli.output import console, json_option, say, table, write_json, write_json_lines
from llmreq.errors import InvalidRequestError
from llmreq.producer import agents as plans

_TENANT = click.option(
    "--tenant", "tenant_id", default="default", show_default=True, help="Whose; '*' is every tenant's."
)


@click.group()
def agents() -> None:
    """Stored agents: a prompt, an output schema and how long texts are cut and merged, in immutable versions.

    \b
    llmreq agents list
    llmreq agents add tagger.yaml
    llmreq enqueue --agent tagger --file book.txt --wait
    """


@agents.command("add")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_TENANT
@click.option("--strict", is_flag=True, help="Refuse a schema change that readers would stumble over.")
@json_option
def add(file: Path, tenant_id: str, strict: bool, as_json: bool) -> None:
    """Save an agent from a JSON or YAML file as a new version; says what its schema changes for readers.

    \b
    llmreq agents add tagger.yaml
    llmreq agents add tagger.yaml --tenant acme --strict
    """
    try:
        definition = read_agent(file.read_text(encoding="utf-8"), name=file.stem)
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{file}: not UTF-8 text") from None
    except ValueError as problem:
        raise InvalidRequestError(f"{file}: {problem}") from None
    with ready_client() as client:
        if strict and (
            breaking := _breaking(client.run(plans.newest(definition.name, tenant_id)), definition)
        ):
            raise InvalidRequestError(
                f"{breaking[0].message} (and {len(breaking) - 1} more): not saved, as --strict says"
            )
        stored = client.store_agent(definition, tenant_id=tenant_id)
    if as_json:
        changes = [
            {"path": each.path, "kind": each.kind, "breaking": each.breaking, "message": each.message}
            for each in stored.changes
        ]
        write_json(
            {
                "name": definition.name,
                "tenant_id": tenant_id,
                "version": stored.version,
                "is_new": stored.is_new,
                "changes": changes,
            }
        )
        return
    _tell(stored.changes)
    say(
        f"{definition.name} version {stored.version} "
        + ("is saved." if stored.is_new else "is what you have: nothing changed.")
    )


@agents.command("list")
@click.option("--tenant", "tenant_id", help="Only this tenant's, and everybody's.")
@click.option("--all", "all_versions", is_flag=True, help="Older and retired versions too.")
@json_option
def list_(tenant_id: str | None, all_versions: bool, as_json: bool) -> None:
    """List agents with their newest version.

    \b
    llmreq agents list --tenant acme
    """
    with ready_client() as client:
        found = client.run(plans.list_agents(tenant_id, all_versions=all_versions))
    if as_json:
        write_json_lines(found)
        return
    rows = [
        [
            row["name"],
            row["version"],
            row["tenant_id"],
            row["task_type"],
            "/".join(filter(None, (row["provider"], row["model"]))) or row["quality"],
            row["chunk_tokens"],
            row["merge_strategy"],
            row["description"] if row["retired_at"] is None else "retired",
        ]
        for row in found
    ]
    table("Agents", ["name", "version", "tenant", "task type", "model", "page tokens", "merge", ""], rows)


@agents.command("show")
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1))
@_TENANT
def show(name: str, version: int | None, tenant_id: str) -> None:
    """Write an agent as JSON, as `agents add` takes it.

    \b
    llmreq agents show entity-extractor > mine.json
    """
    with ready_client() as client:
        found = client.run(plans.get_agent(name, tenant_id, version))
    click.echo(json.dumps(agent_document(found.definition), indent=2, ensure_ascii=False))


@agents.command("diff")
@click.argument("name")
@click.argument("old", type=click.IntRange(min=1))
@click.argument("new", type=click.IntRange(min=1), required=False)
@_TENANT
@json_option
def diff(name: str, old: int, new: int | None, tenant_id: str, as_json: bool) -> None:
    """Say what a version changes against an older one: every field that differs, and what readers must know.

    \b
    llmreq agents diff tagger 1 2
    """
    with ready_client() as client:
        before = client.run(plans.get_agent(name, tenant_id, old)).definition
        after = client.run(plans.get_agent(name, tenant_id, new)).definition
    first, second = agent_document(before), agent_document(after)
    differing = [key for key in {**first, **second} if first.get(key) != second.get(key)]
    changes = schema_changes(before.output_schema, after.output_schema)
    if as_json:
        fields = {key: {"old": first.get(key), "new": second.get(key)} for key in differing}
        write_json(
            {
                "fields": fields,
                "schema": [
                    {"path": each.path, "breaking": each.breaking, "message": each.message}
                    for each in changes
                ],
            }
        )
        return
    shown = [key for key in differing if key != "output_schema"]
    table(
        "Fields",
        ["field", "old", "new"],
        [[key, first.get(key), second.get(key)] for key in shown],
        empty="the same",
    )
    _tell(changes)


@agents.command("retire")
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="Default: all of them.")
@_TENANT
@json_option
def retire(name: str, version: int | None, tenant_id: str, as_json: bool) -> None:
    """Let no new request run an agent, or one version. Requests that name the version still do.

    \b
    llmreq agents retire tagger --version 1
    """
    with ready_client() as client:
        versions = client.run(plans.retire_agent(name, tenant_id, version))
    if as_json:
        write_json({"name": name, "retired": versions})
    else:
        say(f"{name}: version {', '.join(map(str, versions))} retired.")


def _breaking(before: AgentDefinition | None, after: AgentDefinition) -> list[Change]:
    if before is None:
        return []
    return [change for change in schema_changes(before.output_schema, after.output_schema) if change.breaking]


def _tell(changes: Sequence[Change]) -> None:
    for change in changes:
        console().print(
            ("BREAKING " if change.breaking else "") + change.message,
            markup=False,
            style="bold red" if change.breaking else None,
        )
