"""What a schema says about merging: `x-merge` and `x-key`, found through references.

Followed are `$ref` (local), `allOf`, the only branch of an `anyOf` or `oneOf` that is not null, `properties`,
`additionalProperties`, and the `items` of lists. `patternProperties` are not: to match them is to run a pattern.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmreq.check.references import SchemaGraph, escape, read_references

RULES = ("sum", "max", "min", "first", "last", "union", "append")


class Place:
    """The subschemas that speak of one place of a value; `rule` and `key` are the nearest ones that are declared."""

    __slots__ = ("_children", "_graph", "facets", "key", "one_value", "rule")

    def __init__(self, graph: SchemaGraph, pointers: tuple[str, ...]) -> None:
        self._graph = graph
        self._children: dict[str | None, Place] = {}
        self.facets = tuple(_facets(graph, pointers))
        self.rule: str | None = self.declared("x-merge")
        key = self.declared("x-key")
        self.key: tuple[str, ...] = (key,) if isinstance(key, str) else tuple(key or ())
        self.one_value = any(
            "prefixItems" in schema or isinstance(schema.get("items"), list) for schema in self.schemas()
        )
        """The array is a tuple, such as a point: its items have no meaning apart."""

    def property(self, name: str) -> Place:
        """The place of a property, declared or additional."""
        if name not in self._children:
            self._children[name] = Place(self._graph, tuple(self._property(name)))
        return self._children[name]

    def items(self) -> Place:
        """The place of a list's items."""
        if None not in self._children:
            self._children[None] = Place(self._graph, tuple(f"{facet}/items" for facet in self.facets))
        return self._children[None]

    def below(self) -> Iterator[Place]:
        """Every place that merging may visit next."""
        if self.rule in ("first", "last") or self.one_value:
            return
        for schema in self.schemas():
            for name in schema.get("properties") or ():
                yield self.property(name)
        yield Place(self._graph, tuple(f"{facet}/additionalProperties" for facet in self.facets))
        if self.key:
            yield self.items()

    def schemas(self) -> Iterator[dict[str, Any]]:
        """The facets' own words, the nearest first."""
        for facet in self.facets:
            schema = self._graph.nodes[facet]
            assert isinstance(schema, dict)  # so chosen by _facets
            yield schema

    def declared(self, keyword: str) -> Any:
        """The nearest facet's value of a keyword; None when there is none."""
        return next((schema[keyword] for schema in self.schemas() if keyword in schema), None)

    def _property(self, name: str) -> Iterator[str]:
        for facet, schema in zip(self.facets, self.schemas(), strict=True):
            if name in (schema.get("properties") or ()):
                yield f"{facet}/properties/{escape(name)}"
            elif "patternProperties" not in schema:
                yield f"{facet}/additionalProperties"


def open_schema(schema: Mapping[str, Any] | bool | None) -> Place:
    """The place of the whole answer.

    Raises ValueError for an `x-merge` or `x-key` that is none, InvalidSchemaError for references that lead nowhere.
    """
    graph = _graph(schema)
    for problem in _malformed(graph):
        raise ValueError(problem)
    return Place(graph, ("",))


def check_merge_hints(schema: Mapping[str, Any] | bool | None) -> list[str]:
    """What is wrong with a schema's `x-merge` and `x-key`, a line each; for when an agent is saved.

    Raises InvalidSchemaError for references that lead nowhere.
    """
    graph = _graph(schema)
    problems = list(_malformed(graph))
    if problems:
        return problems
    reached: dict[str, None] = {}
    pending = [Place(graph, ("",))]
    while pending:
        place = pending.pop()
        if all(facet in reached for facet in place.facets):
            continue  # also what ends a schema that refers to itself
        reached |= dict.fromkeys(place.facets)
        problems.extend(_unfit(place))
        pending.extend(place.below())
    problems.extend(_unused(graph, reached))
    return sorted(set(problems))


def _graph(schema: Mapping[str, Any] | bool | None) -> SchemaGraph:
    plain = True if schema is None else schema if isinstance(schema, bool) else dict(schema)
    return read_references(plain, siblings_count=True)  # ours count beside a $ref in draft-07 as well


def _facets(graph: SchemaGraph, pointers: tuple[str, ...]) -> Iterator[str]:
    seen: set[str] = set()
    pending = list(reversed(pointers))
    while pending:
        pointer = pending.pop()
        schema = graph.nodes.get(pointer)
        if pointer in seen or not isinstance(schema, dict):
            continue
        seen.add(pointer)
        yield pointer
        pending.extend(reversed(list(_same_value(graph, pointer, schema))))


def _same_value(graph: SchemaGraph, pointer: str, schema: Mapping[str, Any]) -> Iterator[str]:
    if pointer in graph.targets:
        yield graph.targets[pointer]
    for index, _ in enumerate(_branches(schema, "allOf")):
        yield f"{pointer}/allOf/{index}"
    for keyword in ("anyOf", "oneOf"):
        real = [index for index, each in enumerate(_branches(schema, keyword)) if not _is_null(each)]
        if len(real) == 1:
            yield f"{pointer}/{keyword}/{real[0]}"


def _branches(schema: Mapping[str, Any], keyword: str) -> list[Any]:
    branches = schema.get(keyword)
    return branches if isinstance(branches, list) else []


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def _malformed(graph: SchemaGraph) -> Iterator[str]:
    for pointer, schema in graph.nodes.items():
        if not isinstance(schema, dict):
            continue
        if "x-merge" in schema and schema["x-merge"] not in RULES:
            yield (
                f"x-merge {_short(schema['x-merge'])} at #{pointer} is unknown: say one of {', '.join(RULES)}"
            )
        if "x-key" in schema and not _is_key(schema["x-key"]):
            yield f"x-key {_short(schema['x-key'])} at #{pointer} is no property name and no list of them"


def _is_key(key: Any) -> bool:
    names = key if isinstance(key, list) else [key]
    return bool(names) and all(isinstance(name, str) and name for name in names)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:80] + "…"


_NEEDS = {
    "sum": {"number", "integer"},
    "max": {"number", "integer", "string", "boolean"},
    "min": {"number", "integer", "string", "boolean"},
    "union": {"array"},
    "append": {"array"},
}


def _unfit(place: Place) -> Iterator[str]:
    """Hints that do not go with the rest of their place."""
    where = f"#{place.facets[0]}"
    declared = place.declared("type")
    types = {declared} if isinstance(declared, str) else set(declared or ())
    needed = _NEEDS.get(place.rule or "", types)
    if types and not types & needed:
        yield f"x-merge {place.rule!r} at {where} needs the type {' or '.join(sorted(needed))}"
    if place.key and types and "array" not in types:
        yield f"x-key at {where} needs the type array"
    if place.key and place.rule not in (None, "union"):
        yield f"x-key at {where} is never used beside x-merge {place.rule!r}"
    known = {name for schema in place.items().schemas() for name in schema.get("properties") or ()}
    for name in place.key:
        if known and name not in known:
            yield f"x-key at {where} names {_short(name)}, which its items do not declare"


def _unused(graph: SchemaGraph, reached: Mapping[str, None]) -> Iterator[str]:
    for pointer, schema in graph.nodes.items():
        if pointer not in reached and isinstance(schema, dict):
            for keyword in ("x-merge", "x-key"):
                if keyword in schema:
                    yield (
                        f"{keyword} at #{pointer} is never used: merging goes into objects and into the items of"
                        " lists that have x-key, not into patternProperties, tuples, alternatives or conditions"
                    )
