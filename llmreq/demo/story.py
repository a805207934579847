"""What the demo asks: plain SQL as any language would send it, and what the Python helper adds. Data only.

A marker such as `[[sim:broken_json]]` tells the simulated provider which fault to play; a real one never sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Scene:
    """One INSERT of the demo. `simulated`: it makes sense only against the simulator, which plays its fault."""

    title: str
    sql: str
    simulated: bool = False


SCENES = [
    Scene(
        "the smallest request there is: a default route finds the model",
        """INSERT INTO llm_requests (messages)
VALUES ('[{"role": "user", "content": "Say hello to the harbour."}]');""",
    ),
    Scene(
        "with a JSON Schema: the answer is checked before you see it",
        """INSERT INTO llm_requests (task_type, content, response_schema)
VALUES ('classification', 'The crane on quay 3 is stuck again. Third time this week!',
        '{"type": "object", "required": ["category", "urgency"], "additionalProperties": false,
          "properties": {"category": {"enum": ["fault", "question", "praise"]},
                         "urgency": {"type": "integer", "minimum": 1, "maximum": 5}}}');""",
    ),
    Scene(
        "another provider and model, by name",
        """INSERT INTO llm_requests (provider, model, priority, params, messages)
VALUES ('anthropic', 'claude-haiku-5-5', 1, '{"max_output_tokens": 300}',
        '[{"role": "system", "content": "Answer in one sentence."},
          {"role": "user", "content": "Why do harbours silt up?"}]');""",
    ),
    Scene(
        "an answer that is broken JSON the first time: asked again with the error, then accepted",
        """INSERT INTO llm_requests (task_type, content, response_schema)
VALUES ('extraction', 'Invoice 17, 240 EUR, due 3 March. [[sim:script=broken_json|ok]]',
        '{"type": "object", "required": ["number", "amount"], "additionalProperties": false,
          "properties": {"number": {"type": "integer"}, "amount": {"type": "number"}}}');""",
        simulated=True,
    ),
    Scene(
        "an answer that breaks its schema every time: told apart, and given up",
        """INSERT INTO llm_requests (provider, model, task_type, content, response_schema)
VALUES ('openai', 'gpt-6-luna', 'extraction', 'Name the harbour master. [[sim:wrong_schema]]',
        '{"type": "object", "required": ["name", "age"], "additionalProperties": false,
          "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}');""",
        simulated=True,
    ),
    Scene(
        "a Markdown fence around the answer: peeled, and recorded in repairs",
        """INSERT INTO llm_requests (task_type, content, response_schema)
VALUES ('extraction', 'Depth at quay 2 is 9.5 m. [[sim:fenced_json]]',
        '{"type": "object", "required": ["depth_m"], "additionalProperties": false,
          "properties": {"depth_m": {"type": "number"}}}');""",
        simulated=True,
    ),
    Scene(
        "a provider that is down once: tried again, later",
        """INSERT INTO llm_requests (provider, model, content)
VALUES ('anthropic', 'claude-haiku-5-5', 'Is the tide in? [[sim:script=http_529|ok]]');""",
        simulated=True,
    ),
    Scene(
        "a stored agent on a text of any length: cut into pages, asked in parallel, merged, each page's cost known",
        """INSERT INTO llm_requests (agent_name, content)
SELECT 'entity-extractor',
       string_agg(format('In %s Captain Orme wrote to the Admiralty about crane %s of Elmhaven. ', 1800 + n, n), '')
FROM generate_series(1, 1500) n;""",
    ),
    Scene(
        "a tenant whose budget is used up, and degrades: the free local tier answers",
        """INSERT INTO llm_requests (tenant_id, provider, model, task_type, content)
VALUES ('thrifty', 'openai', 'gpt-6-luna', 'keywords',
        'The dredger Marigold left the harbour at dawn. The harbour is deep again.');""",
    ),
    Scene(
        "a schema that is none: found before a cent is spent",
        """INSERT INTO llm_requests (content, response_schema)
VALUES ('Count the gulls.', '{"type": "objekt"}');""",
    ),
    Scene(
        "a mistake in the row itself: accepted, ended, explained",
        """INSERT INTO llm_requests (messages)
VALUES ('[{"role": "harbourmaster", "content": "Ahoy"}]');""",
    ),
]

BUDGET = """INSERT INTO llm_budgets (scope, subject, period, limit_usd, on_exhausted)
VALUES ('tenant', 'thrifty', 'day', 0, 'degrade')"""

TOOLS: list[dict[str, Any]] = [
    {
        "name": "tide_at",
        "description": "The tide's height in metres at a place and hour.",
        "parameters": {
            "type": "object",
            "required": ["place", "hour"],
            "additionalProperties": False,
            "properties": {
                "place": {"type": "string"},
                "hour": {"type": "integer", "minimum": 0, "maximum": 23},
            },
        },
    }
]

TOOL_QUESTION = [{"role": "user", "content": "How high is the tide in Elmhaven at 15 o'clock?"}]


def tide_at(place: str, hour: int) -> str:
    """The demo's tool: a tide that follows the clock."""
    return f"{place}: {2.4 + (hour % 12) / 10:.1f} m at {hour}:00"
