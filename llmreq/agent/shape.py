"""What a schema promises a reader at one place: which types, which fields, which values.

A place is a union of alternatives (`anyOf`, `oneOf`), each a conjunction of subschemas (`allOf`, `$ref` and its siblings),
named by their pointers in the schema's graph.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

from llmreq.check.references import escape
from llmreq.check.schemas import CompiledSchema
from llmreq.limits import SCHEMA_ALTERNATIVES

Place: TypeAlias = tuple[tuple[str, ...], ...]

ROOT: Place = (("",),)
ANYTHING: Place = ((),)

_ATOMS = {
    "number": {"integer", "fraction"},
    **{name: {name} for name in ("null", "boolean", "integer", "string", "array", "object")},
}
ALL_TYPES = frozenset(atom for atoms in _ATOMS.values() for atom in atoms)
_NUMBERS = frozenset({"integer", "fraction"})

LOWER = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
UPPER = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
NARROWING = frozenset(
    {
        *(
            "not",
            "dependentSchemas",
            "dependentRequired",
            "multipleOf",
            "pattern",
            "format",
            "contentEncoding",
        ),
        *("contentMediaType", "uniqueItems", "unevaluatedItems", "propertyNames", "unevaluatedProperties"),
    }
)
"""Rules that can only take values away where there was none of them."""
INTERPLAY = frozenset(
    {
        *(
            "if",
            "then",
            "else",
            "dependencies",
            "$dynamicRef",
            "$recursiveRef",
            "prefixItems",
            "additionalItems",
        ),
        *("contains", "minContains", "maxContains", "patternProperties"),
    }
)
"""Rules that say what others mean: a new one may allow more than before."""
RULES = LOWER | UPPER | NARROWING | INTERPLAY
_CONCERNS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _NUMBERS
    ),
    **dict.fromkeys(
        ("minLength", "maxLength", "pattern", "format", "contentEncoding", "contentMediaType"),
        frozenset({"string"}),
    ),
    **dict.fromkeys(
        ("minItems", "maxItems", "uniqueItems", "prefixItems", "additionalItems", "contains", "minContains",
         "maxContains", "unevaluatedItems"),
        frozenset({"array"}),
    ),
    **dict.fromkeys(
        ("minProperties", "maxProperties", "patternProperties", "propertyNames", "unevaluatedProperties",
         "dependentRequired", "dependentSchemas"),
        frozenset({"object"}),
    ),
}  # fmt: skip


@dataclass(slots=True)
class Shape:
    """A place, read. `values` is None when any is allowed, else the allowed ones by their JSON text.

    `rest` is where the properties not named must fit, None when there are none. `items` likewise for an array's items.
    """

    types: frozenset[str]
    values: dict[str, Any] | None = None
    properties: dict[str, Place] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    rest: Place | None = ANYTHING
    items: Place = ANYTHING
    rules: dict[str, Any] = field(default_factory=dict)


class Shapes:
    """The shapes of one schema, each place read once."""

    def __init__(self, compiled: CompiledSchema) -> None:
        self._compiled = compiled
        self._expanded: dict[str, list[tuple[str, ...]]] = {}
        self._read: dict[Place, Shape] = {}

    def at(self, place: Place) -> Shape:
        """What the schema says at a place; its alternatives seen as one."""
        if (known := self._read.get(place)) is None:
            known = self._read[place] = self._shape(place)
        return known

    def _shape(self, place: Place) -> Shape:
        conjunctions = dict.fromkeys(option for part in place for option in self._options(part))
        shapes = [_conjunction(self._compiled, pointers) for pointers in conjunctions]
        possible = [shape for shape in shapes if shape.types]
        return possible[0] if len(possible) == 1 else _union(possible)

    def _options(self, conjunction: Iterable[str]) -> list[tuple[str, ...]]:
        """The conjunctions that one stands for, references followed and alternatives multiplied out."""
        options: list[tuple[str, ...]] = [()]
        for pointer in conjunction:
            if (parts := self._expanded.get(pointer)) is None:
                parts = self._expanded[pointer] = self._expand(pointer)
            if len(options) * len(parts) > SCHEMA_ALTERNATIVES:
                parts = [(pointer,)]
            options = [tuple(dict.fromkeys(a + b)) for a, b in product(options, parts)]
        return options

    def _expand(self, pointer: str) -> list[tuple[str, ...]]:
        # Ends: the schema was refused if a chain of these led back to itself.
        node = self._compiled.subschema(pointer)
        if not isinstance(node, dict):
            return [(pointer,)]
        target = self._compiled.graph.targets.get(pointer)
        inner = [self._options([target])] if target is not None else []
        if target is not None and not self._compiled.siblings_count:
            return inner[0]
        inner += [self._options([f"{pointer}/allOf/{i}"]) for i in range(len(node.get("allOf", ())))]
        for keyword in ("anyOf", "oneOf"):
            if keyword in node:
                branches = (f"{pointer}/{keyword}/{i}" for i in range(len(node[keyword])))
                inner.append([option for branch in branches for option in self._options([branch])])
        options: list[tuple[str, ...]] = [(pointer,)]
        for parts in inner:
            if len(options) * len(parts) <= SCHEMA_ALTERNATIVES:
                options = [a + b for a, b in product(options, parts)]
        return options


def concerns(rule: str) -> frozenset[str]:
    """The types whose values a rule looks at."""
    return _CONCERNS.get(rule, ALL_TYPES)


def _conjunction(compiled: CompiledSchema, pointers: tuple[str, ...]) -> Shape:
    """Several subschemas that must all hold, as one shape; without types when nothing can meet them."""
    shape = Shape(ALL_TYPES)
    named: dict[str, list[str]] = {}
    items: list[str] = []
    rest: list[str] = []
    for pointer in pointers:
        node = compiled.subschema(pointer)
        if not isinstance(node, dict):
            shape.types = shape.types if node is not False else frozenset()
            continue
        _take_values(shape, node)
        _take_rules(shape.rules, node)
        shape.required |= frozenset(node.get("required", ()))
        for name in node.get("properties", ()):
            named.setdefault(name, []).append(f"{pointer}/properties/{escape(name)}")
        if isinstance(node.get("items"), dict | bool):
            items.append(f"{pointer}/items")
        if "additionalProperties" in node:
            rest.append(f"{pointer}/additionalProperties")
    if shape.values is None:
        shape.values = {"null": None} if shape.types == {"null"} else None
    else:
        shape.values = {key: value for key, value in shape.values.items() if _atom(value) in shape.types}
        shape.types = frozenset(_atom(value) for value in shape.values.values())
    shape.properties = {
        **dict.fromkeys(sorted(shape.required), ANYTHING),
        **{name: (tuple(found),) for name, found in named.items()},
    }
    shape.items = (tuple(items),)
    closed = any(compiled.subschema(pointer) is False for pointer in rest)
    shape.rest = (
        None if closed else (tuple(pointer for pointer in rest if compiled.subschema(pointer) is not True),)
    )
    return shape


def _take_values(shape: Shape, node: dict[str, Any]) -> None:
    if "type" in node:
        types = [node["type"]] if isinstance(node["type"], str) else node["type"]
        shape.types &= frozenset(atom for name in types for atom in _ATOMS[name])
    for allowed in ([node["const"]] if "const" in node else None, node.get("enum")):
        if allowed is not None:
            values = {text_of(value): value for value in allowed}
            known = values if shape.values is None else shape.values
            shape.values = {key: value for key, value in values.items() if key in known}


def _take_rules(rules: dict[str, Any], node: dict[str, Any]) -> None:
    for rule in node.keys() & RULES:
        value = node[rule]
        if rule == "uniqueItems" and value is False:
            continue
        if rule not in rules or rules[rule] == value:
            rules[rule] = value
        elif rule in LOWER or rule in UPPER:
            rules[rule] = (max if rule in LOWER else min)(rules[rule], value)
        else:
            rules[rule] = [rules[rule], value]


def _union(shapes: list[Shape]) -> Shape:
    """Alternatives as one shape: everything that one of them allows, only what all of them promise."""
    objects = [shape for shape in shapes if "object" in shape.types]
    arrays = [shape for shape in shapes if "array" in shape.types]
    names = dict.fromkeys(name for shape in objects for name in shape.properties)
    rests = [shape.rest for shape in objects if shape.rest is not None]
    values: dict[str, Any] | None = None
    if all(shape.values is not None for shape in shapes):
        values = {key: value for shape in shapes for key, value in (shape.values or {}).items()}
    return Shape(
        types=frozenset(atom for shape in shapes for atom in shape.types),
        values=values,
        properties={
            name: _places(o.properties[name] for o in objects if name in o.properties) for name in names
        },
        required=frozenset.intersection(*(o.required for o in objects)) if objects else frozenset(),
        rest=_places(rests) if rests else None,
        items=_places(shape.items for shape in arrays) if arrays else ANYTHING,
        rules=dict(_common_rules(shapes)),
    )


def _places(places: Iterable[Place]) -> Place:
    return tuple(dict.fromkeys(conjunction for place in places for conjunction in place))


def _common_rules(shapes: list[Shape]) -> Iterator[tuple[str, Any]]:
    for rule in sorted({rule for shape in shapes for rule in shape.rules}):
        concerned = [shape for shape in shapes if shape.types & concerns(rule)]
        if not all(rule in shape.rules for shape in concerned):
            continue
        found = {text_of(shape.rules[rule]): shape.rules[rule] for shape in concerned}
        if rule in LOWER or rule in UPPER:
            loosest: Callable[..., Any] = min if rule in LOWER else max
            yield rule, loosest(found.values())
        elif found:
            yield (
                rule,
                [found[key] for key in sorted(found)] if len(found) > 1 else next(iter(found.values())),
            )


def text_of(value: Any) -> str:
    """A value as JSON text in one order of keys: equal texts are equal values, and 1 is not true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.0 and 1 are one number in JSON Schema
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _atom(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    kinds = {type(None): "null", float: "fraction", str: "string", list: "array", dict: "object"}
    return kinds[type(value)]
