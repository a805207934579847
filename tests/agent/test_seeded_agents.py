from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from llmreq.agent.definition import AgentDefinition, agent_of
from llmreq.check.schemas import compile_schema
from llmreq.wire.schema_dialects import for_anthropic, for_openai

SEEDS = Path(__file__).resolve().parents[2] / "sql" / "seeds" / "agents.sql"
NAMES = ["classifier", "entity-extractor", "running-brief", "semantic-chunker", "summarizer"]

TABLE = """
CREATE TEMP TABLE llm_agents (
  tenant_id text NOT NULL, name text NOT NULL, version integer NOT NULL, description text, system_prompt text NOT NULL,
  output_schema jsonb, task_type text, quality text, params jsonb, chunk_tokens integer NOT NULL,
  overlap_tokens integer NOT NULL, merge_strategy text NOT NULL, execution text NOT NULL, on_page_failure text NOT NULL,
  context_tokens integer, PRIMARY KEY (tenant_id, name, version))
"""

CHUNK = {
    "text": "Grüße aus Köln.\n",
    "labels": ["gruß"],
    "speaker": None,
    "entities": [{"text": "Köln", "type": "place"}],
    "summary": "Jemand grüßt aus Köln.",
    "language": "de",
}
GOOD = [
    ("entity-extractor", {"entities": []}),
    ("entity-extractor", {"entities": [{"text": "Köln", "type": "place", "mentions": 2}]}),
    ("classifier", {"label": "bug", "confidence": 0.9, "reason": "It crashes."}),
    ("classifier", {"label": None, "confidence": 0, "reason": "No label fits."}),
    ("summarizer", {"summary": "", "key_points": []}),
    ("semantic-chunker", {"chunks": [CHUNK]}),
    ("running-brief", {"brief": "", "decisions": [], "open_questions": ["Who pays?"], "facts": []}),
]
BAD = [
    ("entity-extractor", {"entities": [{"text": "Köln", "type": "city", "mentions": 2}]}),
    ("entity-extractor", {"entities": [{"text": "Köln", "type": "place", "mentions": 0}]}),
    ("classifier", {"label": "bug", "confidence": 90, "reason": "It crashes."}),
    ("summarizer", {"summary": "x", "key_points": [], "title": "y"}),
    ("semantic-chunker", {"chunks": [{**CHUNK, "text": ""}]}),
    ("semantic-chunker", {"chunks": [{key: value for key, value in CHUNK.items() if key != "language"}]}),
    ("running-brief", {"brief": "x", "decisions": [], "open_questions": []}),
]


@pytest.fixture
def rows(empty_database: str) -> Iterator[list[dict[str, Any]]]:
    """The rows that the seeds make in an empty table, run twice as an upgrade does."""
    with psycopg.connect(empty_database, row_factory=dict_row) as connection:
        connection.execute(TABLE)
        for _ in range(2):
            connection.execute(SEEDS.read_bytes())
        yield connection.execute("SELECT * FROM llm_agents ORDER BY name").fetchall()


def test_the_seeded_agents_are_valid_and_every_tenants(rows: list[dict[str, Any]]) -> None:
    assert [(row.pop("tenant_id"), row.pop("version"), row["name"]) for row in rows] == [
        ("*", 1, name) for name in NAMES
    ]
    agents = _agents(rows)
    assert all(agent.description and agent.max_output_tokens for agent in agents.values())
    for agent in agents.values():
        for place in _places(agent.output_schema):
            assert place.get("type") != "object" or place["additionalProperties"] is False, agent.name


def test_what_pages_share_is_never_counted_or_chunked_twice(rows: list[dict[str, Any]]) -> None:
    merged = {row["name"]: row["overlap_tokens"] for row in rows if row["merge_strategy"] == "merge"}
    assert merged == {"entity-extractor": 0, "semantic-chunker": 0}


def test_both_vendors_enforce_the_seeded_schemas_themselves(rows: list[dict[str, Any]]) -> None:
    schemas = {row["name"]: row["output_schema"] for row in rows}
    assert [name for name, schema in schemas.items() if not for_openai(schema).strict] == []
    assert [name for name, schema in schemas.items() if for_anthropic(schema).schema is None] == []


def test_the_seeded_schemas_tell_good_answers_from_bad_ones(rows: list[dict[str, Any]]) -> None:
    schemas = {row["name"]: compile_schema(row["output_schema"]) for row in rows}
    assert [(name, answer) for name, answer in GOOD if not schemas[name].is_valid(answer)] == []
    assert [(name, answer) for name, answer in BAD if schemas[name].is_valid(answer)] == []


def _agents(rows: list[dict[str, Any]]) -> dict[str, AgentDefinition]:
    return {row["name"]: agent_of(row) for row in rows}


def _places(schema: Any) -> Iterator[dict[str, Any]]:
    return (node for node in compile_schema(schema).graph.nodes.values() if isinstance(node, dict))
