"""Where a schema's references lead: only inside the schema itself, and never round in a circle.

A schema is read as a graph of its subschemas, named by JSON pointer (`""` is the root). Nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, NoReturn
from urllib.parse import unquote, urldefrag, urljoin

from llmreq.errors import InvalidSchemaError
from llmreq.limits import MAX_SCHEMA_EXPANSION

ROOT_URI = "http://schema.invalid/root"
"""The base of a schema without `$id` (RFC 2606: this host can never exist)."""

# Keywords whose value is a schema, a list of schemas or a map of schemas; "here" ones look at the same value
# as their parent, so a circle through them alone would never end.
_ONE_HERE = frozenset({"not", "if", "then", "else"})
_LIST_HERE = frozenset({"allOf", "anyOf", "oneOf"})
_MAP_HERE = frozenset({"dependentSchemas", "dependencies"})
_ONE_INSIDE = frozenset(
    {
        "items",
        "additionalItems",
        "unevaluatedItems",
        "contains",
        "additionalProperties",
        "unevaluatedProperties",
        "propertyNames",
        "contentSchema",
    }
)
_LIST_INSIDE = frozenset({"prefixItems", "items"})
_MAP_INSIDE = frozenset({"properties", "patternProperties"})
_MAP_APART = frozenset({"$defs", "definitions"})
_NOWHERE = "/$anchor/unknown"
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


@dataclass(slots=True)
class SchemaGraph:
    """The subschemas of one schema. `targets[pointer]` is where that subschema's `$ref` leads; `expansion` counts the
    subschemas with every reference written out: as many may look at one value."""

    nodes: dict[str, dict[str, Any] | bool] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    here: dict[str, list[str]] = field(default_factory=dict)
    inside: dict[str, list[str]] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=dict)
    anchors: dict[str, str] = field(default_factory=dict)
    expansion: int = 1


def read_references(schema: dict[str, Any] | bool, *, siblings_count: bool) -> SchemaGraph:
    """The graph of a schema; `siblings_count` is False for draft-07, where `$ref` hides its siblings.

    Raises InvalidSchemaError for a reference that leaves the schema or leads nowhere, for endless recursion,
    and for a schema that would expand to more than `MAX_SCHEMA_EXPANSION` subschemas.
    """
    graph = SchemaGraph(resources={ROOT_URI: ""})
    _walk(graph, "", schema, ROOT_URI, siblings_count)
    pending = list(graph.nodes)
    while pending:
        known = len(graph.nodes)
        for pointer in pending:
            _follow(graph, schema, pointer, siblings_count)
        pending = list(graph.nodes)[known:]  # a target may stand where no keyword had led
    _refuse_circles(graph)
    _refuse_expansion(graph)
    return graph


def escape(name: str) -> str:
    """One step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _walk(graph: SchemaGraph, pointer: str, schema: Any, base: str, siblings_count: bool) -> None:
    pending = [(pointer, schema, base)]
    while pending:
        pointer, schema, base = pending.pop()
        if pointer in graph.nodes or not isinstance(schema, dict | bool):
            continue
        graph.nodes[pointer] = schema
        graph.here[pointer], graph.inside[pointer] = [], []
        if isinstance(schema, dict):
            hides = "$ref" in schema and not siblings_count
            base = base if hides else _names(graph, pointer, schema, base)
            for edge, child, subschema in _children(pointer, schema):
                if not isinstance(subschema, dict | bool):
                    continue
                if edge is not None and not hides:
                    getattr(graph, edge)[pointer].append(child)
                pending.append((child, subschema, base))
        graph.bases[pointer] = base


def _names(graph: SchemaGraph, pointer: str, schema: Mapping[str, Any], base: str) -> str:
    identity = schema.get("$id")
    if isinstance(identity, str):
        if identity.startswith("#"):  # draft-07's way to write an anchor
            graph.anchors[base + identity] = pointer
        else:
            base = urldefrag(urljoin(base, identity)).url
            graph.resources.setdefault(base, pointer)
    for keyword in ("$anchor", "$dynamicAnchor"):
        if isinstance(anchor := schema.get(keyword), str):
            graph.anchors[f"{base}#{anchor}"] = pointer
    return base


def _children(pointer: str, schema: Mapping[str, Any]) -> Iterator[tuple[str | None, str, Any]]:
    """(edge, pointer, subschema) of direct subschemas; edge None for definitions: only `$ref` leads there."""
    for keyword, value in schema.items():
        here = keyword in _ONE_HERE or keyword in _LIST_HERE or keyword in _MAP_HERE
        edge = None if keyword in _MAP_APART else "here" if here else "inside"
        if isinstance(value, list) and keyword in _LIST_HERE | _LIST_INSIDE:
            for index, item in enumerate(value):
                yield edge, f"{pointer}/{keyword}/{index}", item
        elif keyword in _MAP_HERE | _MAP_INSIDE | _MAP_APART and isinstance(value, dict):
            for name, item in value.items():
                yield edge, f"{pointer}/{keyword}/{escape(name)}", item
        elif keyword in _ONE_HERE | _ONE_INSIDE:
            yield edge, f"{pointer}/{keyword}", value


def _follow(graph: SchemaGraph, root: Any, pointer: str, siblings_count: bool) -> None:
    schema = graph.nodes[pointer]
    if not isinstance(schema, dict):
        return
    for keyword in _REFERENCES:
        reference = schema.get(keyword)
        if not isinstance(reference, str):
            continue
        target = _resolve(graph, graph.bases[pointer], reference)
        if target is None:
            _refuse(
                pointer,
                keyword,
                reference,
                "leads outside the schema; nothing is fetched, copy its target into $defs",
            )
        _walk(graph, target, _at(root, target), graph.bases[_owner(graph, target)], siblings_count)
        if target not in graph.nodes:
            _refuse(pointer, keyword, reference, "leads to nothing that is a schema")
        graph.here[pointer].append(target)
        if keyword == "$ref":
            graph.targets[pointer] = target


def _resolve(graph: SchemaGraph, base: str, reference: str) -> str | None:
    """The pointer a reference leads to; None when it leaves the document. There may be no schema at it."""
    whole = base + reference if reference.startswith("#") else urljoin(base, reference)
    uri, fragment = urldefrag(whole)
    if uri not in graph.resources:
        return None
    if not fragment or fragment.startswith("/"):
        return graph.resources[uri] + unquote(fragment)
    return graph.anchors.get(f"{uri}#{fragment}", _NOWHERE)


def _owner(graph: SchemaGraph, pointer: str) -> str:
    """The nearest known subschema that holds a pointer."""
    while pointer and pointer not in graph.bases:
        pointer = pointer.rpartition("/")[0]
    return pointer


def _at(root: Any, pointer: str) -> Any:
    """What stands at a pointer; None for nothing."""
    value = root
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]{0,8}", name) and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _refuse_circles(graph: SchemaGraph) -> None:
    try:
        TopologicalSorter(graph.here).prepare()
    except CycleError as error:
        circle = [f"#{pointer}" for pointer in error.args[1]][:10]
        raise InvalidSchemaError(
            f"the schema refers to itself without end: {' -> '.join(circle)}"[:300],
            details={"pointers": circle},
        ) from None


def _refuse_expansion(graph: SchemaGraph) -> None:
    """Count subschemas with every reference written out: a chain of doubled ones costs 2^n checks of a value.

    A reference back into what is being written out counts once: the validator remembers those per value.
    """
    sizes: dict[str, int] = {}
    pending = [("", False)]
    while pending:
        pointer, counted = pending.pop()
        below = graph.here[pointer] + graph.inside[pointer]
        if counted:
            sizes[pointer] = 1 + sum(sizes[child] or 1 for child in below)
        elif pointer not in sizes:
            sizes[pointer] = 0
            pending.append((pointer, True))
            pending.extend((child, False) for child in below if child not in sizes)
    graph.expansion = sizes[""]
    if sizes[""] > MAX_SCHEMA_EXPANSION:
        raise InvalidSchemaError(
            f"the schema expands to more than {MAX_SCHEMA_EXPANSION:,} subschemas when its references are"
            " written out; use fewer nested references",
            details={"limit": MAX_SCHEMA_EXPANSION},
        )


def _refuse(pointer: str, keyword: str, reference: str, why: str) -> NoReturn:
    shown = reference if len(reference) <= 80 else reference[:80] + "…"
    raise InvalidSchemaError(
        f"{keyword} {shown!r} at #{pointer[:80]} {why}",
        details={"pointer": pointer[:200], "reference": reference[:200]},
    )
