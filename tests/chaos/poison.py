"""Rows and answers that no honest producer or provider makes, and how each may end: `completed`, or an error code."""

from __future__ import annotations

import random
import string
from typing import NamedTuple


class Poison(NamedTuple):
    """Columns as SQL expressions, and how the row may end."""

    columns: dict[str, str]
    ends: set[str]


def deep(levels: int, before: str = "[", after: str = "]", inmost: str = "") -> str:
    """JSON nested so deep."""
    return before * levels + inmost + after * levels


def noise(length: int) -> str:
    """A text that no compression makes smaller."""
    return "".join(random.Random(7).choices(string.ascii_letters, k=length))


def costly_schema() -> str:
    """24 references, each written twice: 16 million subschemas when they are written out."""
    twice = [
        f'"n{n}": {{"anyOf": [{{"$ref": "#/$defs/n{n + 1}"}}, {{"$ref": "#/$defs/n{n + 1}"}}]}}'
        for n in range(24)
    ]
    return '{"$ref": "#/$defs/n0", "$defs": {' + ", ".join([*twice, '"n24": {"type": "string"}']) + "}}"


INVALID = {"invalid_request", "invalid_schema"}

ROWS = {
    "deep params": Poison({"params": f"""'{{"metadata": {deep(2000)}}}'"""}, INVALID),
    "huge number": Poison({"params": """'{"seed": 1e5000}'"""}, INVALID),
    "deep messages": Poison({"messages": f"""'[{{"role": "user", "content": {deep(2000)}}}]'"""}, INVALID),
    "deep schema": Poison({"response_schema": f"""'{deep(1000, '{"not": ', "}", "{}")}'"""}, INVALID),
    "costly schema": Poison({"response_schema": f"'{costly_schema()}'"}, INVALID),
    "long agent": Poison({"agent_id": f"'{noise(1400)}'"}, INVALID),
    "long tenant": Poison({"tenant_id": f"'{noise(1400)}'"}, INVALID),
    "long task type": Poison({"task_type": f"'{noise(1400)}'"}, INVALID),
    "never due": Poison({"scheduled_at": "'infinity'"}, INVALID),
    "due in another age": Poison({"scheduled_at": "'294276-01-01'"}, INVALID),
    "most tokens": Poison({"estimated_tokens": "9223372036854775807"}, {"completed", *INVALID}),
}

ANSWERS = {
    # What can be kept is kept; a character that no text may hold is replaced or left out.
    "nul_tier": {"completed"},
    "nul_model": {"completed"},
    "nul_finish": {"completed", "internal", "provider_unavailable"},
    "nul_text": {"completed", "malformed_json"},
    "surrogate": {"completed", "malformed_json"},
    "headers": {"provider_unavailable", "invalid_request"},
    "bulk": {"completed", "invalid_request", "malformed_json"},
    "tools": {"completed", "schema_mismatch", "invalid_request"},
    "huge_numbers": {"completed"},
    "zero_limit": {"completed"},
    "pipelined": {"completed", "provider_unavailable"},
    "hang": {"provider_timeout"},
    "drip": {"provider_timeout"},
}
"""What a hostile provider answers to a question with this marker (hostile.py)."""


def insert_statement(columns: dict[str, str], name: str, key: str = "") -> str:
    """An INSERT of one such row, named in its context; for a driver that reads % as its own."""
    columns = {**columns, "context": f"jsonb_build_object('poison', '{name}', 'key', '{key}')"}
    if "messages" in columns:
        columns.pop("content", None)
    text = f"INSERT INTO llm_requests ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"
    return text.replace("%", "%%")


def row(name: str) -> dict[str, str]:
    """The columns of a poison row."""
    return {"provider": "'openai'", "model": "'gpt-6-luna'", "content": "'hi'", "max_attempts": "1"} | ROWS[
        name
    ].columns


def question(kind: str, timeout_seconds: int = 5) -> dict[str, str]:
    """The columns of a question that gets such an answer, in a lane of its own."""
    return {
        "provider": "'hostile'", "model": f"'{kind}'", "content": f"'[[hostile:{kind}]]'",
        "timeout_seconds": str(timeout_seconds), "max_attempts": "1",
    }  # fmt: skip
