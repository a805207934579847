"""Stored agents: saved as immutable versions, found, listed, retired. Plans for both clients, as in steps.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from llmreq.agent.changes import Change, schema_changes
from llmreq.agent.definition import AgentDefinition, agent_document, agent_of
from llmreq.errors import InvalidRequestError
from llmreq.merge.hints import check_merge_hints
from llmreq.producer.step import Query, Row, Steps, sql_of


@dataclass(frozen=True, slots=True)
class StoredAgent:
    """One version of an agent as it is stored. `is_new` is False when saving it changed nothing.

    `changes`: what its output schema changes for readers of the version before.
    """

    id: int
    tenant_id: str
    version: int
    definition: AgentDefinition
    retired_at: datetime | None = None
    is_new: bool = False
    changes: tuple[Change, ...] = ()

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that a reader of the old answers would stumble over."""
        return tuple(change for change in self.changes if change.breaking)


def store_agent(given: AgentDefinition | Mapping[str, Any], tenant_id: str) -> Steps[StoredAgent]:
    """Save a new version, unless the newest one is the same. Raises InvalidRequestError for what is no agent."""
    definition = checked_agent(given)
    before = yield from _find(definition.name, tenant_id, None, own=True)
    if before is not None and before.definition == definition and before.retired_at is None:
        return before
    document = {field.name: getattr(definition, field.name) for field in fields(definition)}
    for name in ("output_schema", "params"):
        document[name] = None if document[name] is None else json.dumps(document[name])
    rows = yield Query(sql_of("insert_agent"), {"tenant_id": tenant_id, **document})
    changes = (
        schema_changes(before.definition.output_schema, definition.output_schema)
        if before is not None
        else ()
    )
    stored = stored_agent(rows[0])
    return StoredAgent(
        stored.id, stored.tenant_id, stored.version, definition, is_new=True, changes=tuple(changes)
    )


def newest(name: str, tenant_id: str) -> Steps[AgentDefinition | None]:
    """What a new version of the tenant's agent comes after."""
    found = yield from _find(name, tenant_id, None, own=True)
    return None if found is None else found.definition


def get_agent(name: str, tenant_id: str, version: int | None = None) -> Steps[StoredAgent]:
    """The version that a request of the tenant would run. Raises InvalidRequestError when there is none."""
    found = yield from _find(name, tenant_id, version, own=False)
    if found is None:
        which = f" version {version}" if version is not None else ""
        raise InvalidRequestError(
            f"tenant {tenant_id!r} has no agent {name!r}{which}: llmreq agents list shows them"
        )
    return found


def list_agents(tenant_id: str | None, *, all_versions: bool) -> Steps[list[Row]]:
    """The newest version of each agent, or all of them; of one tenant (and everybody's, '*'), or of all."""
    return (yield Query(sql_of("list_agents"), {"tenant_id": tenant_id, "all": all_versions}))


def retire_agent(name: str, tenant_id: str, version: int | None) -> Steps[list[int]]:
    """Retire a version, or all: no new request runs it; those there are go on. Raises InvalidRequestError if there is none."""
    rows = yield Query(sql_of("retire_agent"), {"name": name, "tenant_id": tenant_id, "version": version})
    if not rows:
        raise InvalidRequestError(f"tenant {tenant_id!r} has no such agent {name!r} that is not retired")
    return sorted(row["version"] for row in rows)


def checked_agent(given: AgentDefinition | Mapping[str, Any]) -> AgentDefinition:
    """A whole definition, its merge hints too. Raises InvalidRequestError with one line."""
    try:
        definition = given if isinstance(given, AgentDefinition) else agent_of(given)
        # Read again: one that was made by hand was not checked yet.
        definition = agent_of(agent_document(definition))
        if definition.output_schema is not None and (problems := check_merge_hints(definition.output_schema)):
            raise ValueError(problems[0])
    except ValueError as problem:
        raise InvalidRequestError(f"agent: {problem}") from None
    return definition


def stored_agent(row: Row) -> StoredAgent:
    """From a row of llm_agents. One that plain SQL wrote may lack what files must say: it is taken as it is."""
    values = {field.name: row[field.name] for field in fields(AgentDefinition)}
    if values["merge_strategy"] is None:
        values["merge_strategy"] = "concat" if values["output_schema"] is None else "merge"
    return StoredAgent(
        row["id"], row["tenant_id"], row["version"], AgentDefinition(**values), row["retired_at"]
    )


def _find(name: str, tenant_id: str, version: int | None, *, own: bool) -> Steps[StoredAgent | None]:
    rows = yield Query(
        sql_of("find_agent"), {"name": name, "tenant_id": tenant_id, "version": version, "own": own}
    )
    return stored_agent(rows[0]) if rows else None
