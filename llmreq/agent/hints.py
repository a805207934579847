"""The merge hints of an output schema: `x-merge` on a property, `x-key` on an array; wrong ones are told when saved."""

from __future__ import annotations

from typing import Any

from llmreq.check.schemas import CompiledSchema

MERGE_HINTS = ("sum", "max", "min", "first", "last", "union", "append")
_OF_NUMBERS = frozenset({"sum", "max", "min"})
_NUMBERS = frozenset({"integer", "number"})


def hint_problem(compiled: CompiledSchema) -> str | None:
    """The first hint that says nothing, in one line; None when all are good."""
    for pointer, node in compiled.graph.nodes.items():
        if not isinstance(node, dict):
            continue
        if "x-merge" in node and (problem := _merge_problem(node)):
            return f"x-merge at #{pointer[:200]} {problem}"
        if "x-key" in node and (problem := _key_problem(compiled, pointer, node)):
            return f"x-key at #{pointer[:200]} {problem}"
    return None


def _merge_problem(node: dict[str, Any]) -> str | None:
    hint = node["x-merge"]
    if hint not in MERGE_HINTS:
        return f"must be one of {', '.join(MERGE_HINTS)}"
    types = _types(node)
    if hint in _OF_NUMBERS and types and not types & _NUMBERS:
        return f"is {hint}, which is for numbers"
    if hint in ("union", "append") and types and "array" not in types:
        return f"is {hint}, which is for arrays"
    return None


def _key_problem(compiled: CompiledSchema, pointer: str, node: dict[str, Any]) -> str | None:
    given = node["x-key"]
    keys = [given] if isinstance(given, str) else given
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) and key for key in keys):
        return "must be a property's name or a list of such names"
    if (types := _types(node)) and "array" not in types:
        return "is for arrays"
    named = _properties(compiled, f"{pointer}/items")
    for key in keys:
        if named and key not in named:
            return f"names {key[:60]!r}, which the items do not have; they have {', '.join(named)[:200]}"
    return None


def _properties(compiled: CompiledSchema, pointer: str) -> list[str]:
    """The properties that a subschema or its references name; none when it says nothing of them."""
    while pointer in compiled.graph.targets:
        pointer = compiled.graph.targets[pointer]
    node = compiled.graph.nodes.get(pointer)
    return list(node.get("properties", ())) if isinstance(node, dict) else []


def _types(node: dict[str, Any]) -> set[str]:
    given = node.get("type", [])
    return {given} if isinstance(given, str) else set(given)
