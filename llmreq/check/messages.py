"""The words of a schema error: short, ours, in the style people know from ajv ("must be object").

Never repeats more of a model's text than a clipped property name; what a schema says is clipped too.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from llmreq.check.decode import storable_text
from llmreq.limits import MAX_NAME_CHARS

Path: TypeAlias = tuple[str | int, ...]

_FROM_SCHEMA_CHARS = 200

# {} is the keyword's own value in the schema.
_BY_RULE = {
    "minimum": "must be >= {}",
    "maximum": "must be <= {}",
    "exclusiveMinimum": "must be > {}",
    "exclusiveMaximum": "must be < {}",
    "multipleOf": "must be multiple of {}",
    "minLength": "must NOT have fewer than {} characters",
    "maxLength": "must NOT have more than {} characters",
    "minItems": "must NOT have fewer than {} items",
    "maxItems": "must NOT have more than {} items",
    "minProperties": "must NOT have fewer than {} properties",
    "maxProperties": "must NOT have more than {} properties",
    "uniqueItems": "must NOT have duplicate items",
    "pattern": "must match pattern {}",
    "const": "must be equal to {}",
    "anyOf": "must match at least one schema in anyOf",
    "not": "must NOT match the schema in not",
    "contains": "must contain at least one matching item",
    "minContains": "must contain at least {} matching items",
    "maxContains": "must NOT contain more than {} matching items",
    "false_schema": "must NOT be present",
    "unevaluatedProperties": "must NOT have unevaluated properties",
    "unevaluatedItems": "must NOT have unevaluated items",
    "propertyNames": "must have a property name that is allowed",
}


def message_for(rule: str, wanted: Any) -> str:
    """What the rule asks, `wanted` being its value in the schema."""
    if rule == "type":
        return "must be " + (wanted if isinstance(wanted, str) else " or ".join(map(str, wanted)))
    if rule == "enum":
        return "must be one of: " + clip(
            ", ".join(shown(option) for option in wanted[:50]), _FROM_SCHEMA_CHARS
        )
    template = _BY_RULE.get(rule)
    if template is None:
        return f"must satisfy {clip(rule, MAX_NAME_CHARS)}"
    return template.format(clip(shown(wanted), _FROM_SCHEMA_CHARS)) if "{}" in template else template


def required(name: str) -> str:
    """For a property that is not there."""
    return f"must have required property '{clip(name, MAX_NAME_CHARS)}'"


def additional(name: str) -> str:
    """For a property that must not be there."""
    return f"must NOT have additional property '{clip(name, MAX_NAME_CHARS)}'"


def field_of(path: Path, prefix: str = "") -> str:
    """The path people read: `tool_calls[0].params`, `$` for the root, `["odd name"]` where dots mislead."""
    parts = [prefix]
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif step.isidentifier() and len(step) <= MAX_NAME_CHARS:
            parts.append(f".{step}")
        else:
            parts.append(f"[{json.dumps(clip(step, MAX_NAME_CHARS), ensure_ascii=False)}]")
    return storable_text("".join(parts).removeprefix("."))[0] or "$"


def shown(value: Any) -> str:
    """A schema's value as JSON."""
    return json.dumps(value, ensure_ascii=False, default=str)


def clip(text: str, chars: int) -> str:
    """At most so many characters, storable, with a sign when something is missing."""
    return storable_text(text if len(text) <= chars else text[:chars] + "…")[0]
