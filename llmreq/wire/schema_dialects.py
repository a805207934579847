"""A JSON Schema in the subset a vendor's structured output takes.

The row's own schema is always checked locally afterwards, so a dialect may say less than the schema, never something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from llmreq.limits import COMPILED_SCHEMAS_KEPT

_OPENAI_REFUSES = {
    "allOf", "oneOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "patternProperties", "default",
    "unevaluatedProperties", "unevaluatedItems", "contains", "propertyNames", "prefixItems", "$dynamicRef", "minContains",
    "maxContains", "uniqueItems",
}  # fmt: skip
_NAMES_FIRST = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
_VALUES = {"enum", "const", "default", "examples"}
_OPENAI_DEPTH = 10
_OPENAI_PROPERTIES = 5000

_ANTHROPIC_KEEPS = {
    "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "allOf", "$ref", "$defs",
    "definitions", "description", "title", "format",
}  # fmt: skip
_ANTHROPIC_FORMATS = {
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """`schema` to send natively, or None when it must go into the prompt; `strict`: OpenAI's strict mode."""

    schema: Mapping[str, Any] | None
    strict: bool = False


def for_openai(schema: Any) -> Compiled:
    """See `_openai`; a schema that many rows share is looked at once."""
    return _cached(_openai, schema)


def for_anthropic(schema: Any) -> Compiled:
    """See `_anthropic`; a schema that many rows share is looked at once."""
    return _cached(_anthropic, schema)


def _cached(compiler: Callable[[Any], Compiled], schema: Any) -> Compiled:
    try:
        return _from_text(compiler, orjson.dumps(schema))
    except TypeError:  # an integer beyond 64 bits, or more levels than the encoder goes down
        try:
            return compiler(schema)
        except RecursionError:
            return Compiled(None)


@lru_cache(maxsize=COMPILED_SCHEMAS_KEPT)
def _from_text(compiler: Callable[[Any], Compiled], text: bytes) -> Compiled:
    return compiler(orjson.loads(text))


def _openai(schema: Any) -> Compiled:
    """Strict when the schema is in OpenAI's subset as it stands; else the schema unchanged and not strict.

    Left out are only `x-` keys, which are notes to us. Nothing is made required or nullable to fit: that would have the
    model answer another question. A root that is not an object goes into the prompt.
    """
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return Compiled(None)
    schema = _without_notes(schema)
    counted = [0]
    return Compiled(schema, strict=_fits_openai(schema, 0, counted) and counted[0] <= _OPENAI_PROPERTIES)


def _anthropic(schema: Any) -> Compiled:
    """The schema without what Anthropic does not take; what was left out is told in the description.

    Objects that allow further properties, recursion and roots that are no objects cannot be said: those go into the prompt.
    """
    if not isinstance(schema, Mapping) or schema.get("type") != "object" or _recursive(schema):
        return Compiled(None)
    said = _say_anthropic(schema)
    return Compiled(said) if isinstance(said, Mapping) else Compiled(None)


def _without_notes(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_notes(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    said: dict[str, Any] = {}
    for key, value in node.items():
        if key in _NAMES_FIRST and isinstance(value, Mapping):  # its keys are names, which may begin with x-
            said[key] = {name: _without_notes(child) for name, child in value.items()}
        elif not key.startswith("x-"):
            said[key] = value if key in _VALUES else _without_notes(value)
    return said


def _fits_openai(node: Any, depth: int, counted: list[int]) -> bool:
    if isinstance(node, bool):
        return False
    if not isinstance(node, Mapping):
        return False
    if depth > _OPENAI_DEPTH or _OPENAI_REFUSES & node.keys():
        return False
    if "$ref" in node and len(node) > 1 and depth:
        return False
    properties = node.get("properties", {})
    if node.get("type") == "object" or "properties" in node:
        counted[0] += len(properties)
        if node.get("additionalProperties") is not False or set(node.get("required", ())) != set(properties):
            return False
    elif not node.keys() & {"type", "enum", "const", "anyOf", "$ref"}:
        return False
    children = [
        *properties.values(),
        *node.get("anyOf", ()),
        *node.get("$defs", {}).values(),
        *node.get("definitions", {}).values(),
    ]
    if "items" in node:
        children.append(node["items"])
    return all(_fits_openai(child, depth + 1, counted) for child in children)


def _say_anthropic(node: Any) -> Any:
    """The node in Anthropic's words, or None when it cannot be said."""
    if not isinstance(node, Mapping):
        return None
    said: dict[str, Any] = {}
    left_out: list[str] = []
    for key, value in node.items():
        if key in ("properties", "$defs", "definitions"):
            inner = {name: _say_anthropic(child) for name, child in value.items()}
            if any(child is None for child in inner.values()):
                return None
            said[key] = inner
        elif key in ("anyOf", "oneOf", "allOf"):
            parts = [_say_anthropic(child) for child in value]
            if any(part is None for part in parts):
                return None
            said["anyOf" if key == "oneOf" else key] = parts
        elif key == "items":
            said[key] = _say_anthropic(value)
            if said[key] is None:
                return None
        elif key == "format" and value not in _ANTHROPIC_FORMATS:
            left_out.append(f"format {value}")
        elif (key == "minItems" and value in (0, 1)) or key in _ANTHROPIC_KEEPS:
            said[key] = value
        elif key not in ("$schema", "$id", "$comment", "default", "examples") and not key.startswith("x-"):
            left_out.append(f"{key}: {value}")
    if said.get("type") == "object" or "properties" in said:
        if node.get("additionalProperties", True) is not False:
            return None
        said.setdefault("properties", {})
    if left_out:
        note = "Must hold: " + "; ".join(left_out)
        said["description"] = f"{said['description']} {note}" if "description" in said else note
    return said


def _recursive(schema: Mapping[str, Any]) -> bool:
    """Whether any definition reaches itself by $ref."""
    definitions = {
        f"#/{room}/{name}": body
        for room in ("$defs", "definitions")
        for name, body in (schema.get(room) or {}).items()
    }
    reached = {name: set(_references(body)) for name, body in definitions.items()}
    if "#" in set(_references(schema)):
        return True
    for start in reached:
        seen: set[str] = set()
        pending = list(reached[start])
        while pending:
            name = pending.pop()
            if name == start:
                return True
            if name not in seen:
                seen.add(name)
                pending.extend(reached.get(name, ()))
    return False


def _references(node: Any) -> list[str]:
    pending, found = [node], []
    while pending:
        each = pending.pop()
        if isinstance(each, Mapping):
            if isinstance(each.get("$ref"), str):
                found.append(each["$ref"])
            pending.extend(each.values())
        elif isinstance(each, list):
            pending.extend(each)
    return found
