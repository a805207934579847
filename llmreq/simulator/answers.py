"""What the simulated model says: an instance of a schema, or a sentence. Pure and the same for the same question."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

_WORDS = ["harbour", "lantern", "tide", "anchor", "gull", "rope", "quay", "north", "salt", "morning"]
_FORMATS = {
    "date": "2026-11-21", "date-time": "2026-11-21T12:00:00Z", "time": "12:00:00Z", "email": "gull@example.org",
    "uri": "https://example.org/", "uuid": "01a1fc1d-c79c-7f1e-ac55-6f563c36b668", "ipv4": "127.0.0.1",
}  # fmt: skip


def sentence(question: str) -> str:
    """A short answer that differs with the question."""
    digest = hashlib.sha256(question.encode("utf-8", "replace")).digest()
    words = [_WORDS[byte % len(_WORDS)] for byte in digest[:6]]
    return f"The {words[0]} and the {words[1]} meet the {words[2]} at {words[3]}, {words[4]} and {words[5]}."


def instance(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """A small value that is valid against the schema."""
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > 24:
        return "value"
    if "$ref" in schema:
        return instance(_resolve(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return instance(schema[word][0], root, depth + 1)
    if "allOf" in schema:
        merged: dict[str, Any] = {}
        for part in schema["allOf"]:
            merged |= part
        return instance({**{k: v for k, v in schema.items() if k != "allOf"}, **merged}, root, depth + 1)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        return {name: instance(child, root, depth + 1) for name, child in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance(schema.get("items", {}), root, depth + 1) for _ in range(max(1, int(schema.get("minItems", 1))))]
    return _scalar(kind, schema)


def broken(schema: Any) -> Any:
    """A JSON value that is not valid against an object schema with a typed property."""
    value = instance(schema)
    if isinstance(value, dict) and value:
        last = list(value)[-1]
        return {**value, last: {"not": "what was asked"}}
    return {"unasked": True} if not isinstance(value, dict) else "no object"


def _scalar(kind: Any, schema: Mapping[str, Any]) -> Any:
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        value = low + 1 if "exclusiveMinimum" in schema else low
        step = schema.get("multipleOf")
        if step:
            value = -(-value // step) * step
        return int(value) if kind == "integer" else value + 0.5 if "maximum" not in schema and not step else value
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    text = _FORMATS.get(str(schema.get("format")), _WORDS[len(str(schema)) % len(_WORDS)])
    return text.ljust(int(schema.get("minLength", 0)), "x")[: int(schema.get("maxLength", 10_000))]


def _resolve(reference: str, root: Any) -> Any:
    node = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            node = node[part.replace("~1", "/").replace("~0", "~")]
    return node
