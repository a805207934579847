"""Which parts of a value break which rules of a schema, lazily and within bounds.

The Rust validator's own error list is built whole – for a million wrong items 12 s and 1.4 GB – and grows
exponentially with nested `anyOf`. So it gives verdicts only: the search walks down from one failing subschema
to the failing ones below it, and asks it for errors of one level at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import jsonschema_rs

from llmreq.check import messages
from llmreq.check.messages import Path
from llmreq.check.references import escape
from llmreq.check.schemas import CompiledSchema
from llmreq.limits import LARGE_VALUE_SIZE, VALIDATION_ERRORS_COUNTED

# What an outline keeps as it stands: rules that look at one value without any other subschema.
_PLAIN = (
    *("type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *(
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "uniqueItems",
        "required",
        "dependentRequired",
    ),
    *("minProperties", "maxProperties", "contentEncoding", "contentMediaType"),
)
_COMPARES_CONTENT = frozenset({"enum", "const", "uniqueItems"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule, by keyword. `path` leads to the value, or to the missing or surplus property."""

    path: Path
    rule: str
    message: str
    schema_path: str


@dataclass(frozen=True, slots=True)
class _Place:
    """A subschema (by pointer) that the value at a path is known to break.

    `rereads` counts the steps down to here whose value was still large: each was judged as a whole again.
    """

    pointer: str
    value: Any
    path: Path
    rereads: int = 0


def explain(compiled: CompiledSchema, value: Any, *, rereads: int) -> Iterator[Finding]:
    """The rules that a value, already judged invalid, breaks.

    Always finds at least one; a large value that takes more than `rereads` steps to reach is reported as a
    whole. At most `VALIDATION_ERRORS_COUNTED` failing parts of one value are followed.
    """
    pending = [_Place("", value, ())]
    while pending:
        place = pending.pop()
        schema = compiled.subschema(place.pointer)
        if schema is False:
            yield Finding(
                place.path, "false_schema", messages.message_for("false_schema", None), place.pointer
            )
            continue
        if not isinstance(schema, dict) or place.rereads > rereads:
            yield _whole(place, schema)
            continue
        hidden = "$ref" in schema and not compiled.siblings_count
        own = [] if hidden else list(_own_errors(compiled, place, schema))
        below = list(islice(_failing(compiled, place, schema), VALIDATION_ERRORS_COUNTED))
        yield from own
        if not own and not below:
            yield _whole(place, schema)
        pending.extend(reversed(below))


def _whole(place: _Place, schema: Any) -> Finding:
    """What is left when no other rule can be named: an `unevaluated…` one, or one of a dynamic reference."""
    for rule in ("unevaluatedProperties", "unevaluatedItems"):
        if isinstance(schema, dict) and rule in schema:
            return Finding(place.path, rule, messages.message_for(rule, None), f"{place.pointer}/{rule}")
    return Finding(place.path, "schema", "must match its schema", place.pointer)


def _is_large(value: Any) -> bool:
    """Whether judging the value again is worth counting; looks no further than it takes to tell."""
    size, pending = 0, [value]
    while pending and size <= LARGE_VALUE_SIZE:
        inner = pending.pop()
        if isinstance(inner, dict | list | str):
            size += len(inner)
        if isinstance(inner, dict | list) and size <= LARGE_VALUE_SIZE:
            pending.extend(inner.values() if isinstance(inner, dict) else inner)
    return size > LARGE_VALUE_SIZE


# --- errors of this value itself ----------------------------------------------------------------------------
def _own_errors(compiled: CompiledSchema, place: _Place, schema: dict[str, Any]) -> Iterator[Finding]:
    outline = {rule: schema[rule] for rule in _PLAIN if rule in schema}
    if schema.get("additionalProperties") is False:
        outline["additionalProperties"] = False
        for names in ("properties", "patternProperties"):
            outline[names] = dict.fromkeys(schema.get(names, ()), True)
    if isinstance(dependencies := schema.get("dependencies"), dict):
        outline["dependencies"] = {
            name: needs for name, needs in dependencies.items() if isinstance(needs, list)
        }
    validator = compiled.outline(place.pointer, outline)
    value = place.value if _COMPARES_CONTENT & outline.keys() else _flat(place.value)
    for error in islice(validator.iter_errors(value), VALIDATION_ERRORS_COUNTED):
        yield from _findings(place, schema, error)
    yield from _combinations(compiled, place, schema)
    if isinstance(place.value, list):
        yield from _surplus_items(place, schema)
        if "contains" in schema:
            yield from _contained(compiled, place, schema)


def _flat(value: Any) -> Any:
    """The value without what is inside it, so that an error holds no copy of a large answer."""
    if isinstance(value, dict):
        return dict.fromkeys(value)
    return [None] * len(value) if isinstance(value, list) else value


def _findings(
    place: _Place, schema: dict[str, Any], error: jsonschema_rs.ValidationError
) -> Iterator[Finding]:
    kind, keyword = error.kind, str(error.schema_path[0])
    where = f"{place.pointer}/{keyword}"
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        yield Finding((*place.path, kind.property), keyword, messages.required(kind.property), where)
    elif isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
        for name in islice(kind.unexpected, VALIDATION_ERRORS_COUNTED):
            yield Finding((*place.path, name), keyword, messages.additional(name), where)
    elif isinstance(
        kind,
        jsonschema_rs.ValidationErrorKind.BacktrackLimitExceeded
        | jsonschema_rs.ValidationErrorKind.RegexEngineFailure,
    ):
        yield Finding(
            place.path, keyword, "could not be matched against its pattern within the step limit", where
        )
    else:
        yield Finding(place.path, keyword, messages.message_for(keyword, schema[keyword]), where)


def _combinations(compiled: CompiledSchema, place: _Place, schema: dict[str, Any]) -> Iterator[Finding]:
    """anyOf, oneOf, not: one error each; which branch was meant is the author's secret."""
    for rule in ("anyOf", "oneOf"):
        if rule not in schema:
            continue
        branches = (f"{place.pointer}/{rule}/{index}" for index in range(len(schema[rule])))
        matching = sum(compiled.holds(branch, place.value) for branch in branches)
        if rule == "anyOf" and not matching:
            yield Finding(place.path, rule, messages.message_for(rule, None), f"{place.pointer}/{rule}")
        elif rule == "oneOf" and matching != 1:
            message = f"must match exactly one schema in oneOf (matches {matching})"
            yield Finding(place.path, rule, message, f"{place.pointer}/{rule}")
    if "not" in schema and compiled.holds(f"{place.pointer}/not", place.value):
        yield Finding(place.path, "not", messages.message_for("not", None), f"{place.pointer}/not")


def _surplus_items(place: _Place, schema: dict[str, Any]) -> Iterator[Finding]:
    heads, rest = _item_rules(schema)
    most = len(schema.get(heads, ()))
    if schema.get(rest) is False and len(place.value) > most:
        yield Finding(place.path, rest, messages.message_for("maxItems", most), f"{place.pointer}/{rest}")


def _contained(compiled: CompiledSchema, place: _Place, schema: dict[str, Any]) -> Iterator[Finding]:
    matching = sum(compiled.holds(f"{place.pointer}/contains", item) for item in place.value)
    least, most = schema.get("minContains", 1), schema.get("maxContains")
    if matching < least:
        rule = "minContains" if "minContains" in schema else "contains"
        yield Finding(place.path, rule, messages.message_for(rule, least), f"{place.pointer}/{rule}")
    if most is not None and matching > most:
        yield Finding(
            place.path,
            "maxContains",
            messages.message_for("maxContains", most),
            f"{place.pointer}/maxContains",
        )


# --- the failing subschemas below ---------------------------------------------------------------------------
def _failing(compiled: CompiledSchema, place: _Place, schema: dict[str, Any]) -> Iterator[_Place]:
    for candidate in _candidates(compiled, place, schema):
        if not compiled.holds(candidate.pointer, candidate.value):
            yield replace(candidate, rereads=place.rereads + _is_large(candidate.value))


def _candidates(compiled: CompiledSchema, place: _Place, schema: dict[str, Any]) -> Iterator[_Place]:
    """Every subschema that must hold for the value to be valid, with the value it must hold for."""
    pointer, value, path = place.pointer, place.value, place.path
    if (target := compiled.graph.targets.get(pointer)) is not None:
        yield _Place(target, value, path)
        if not compiled.siblings_count:
            return
    for index in range(len(schema.get("allOf", ()))):
        yield _Place(f"{pointer}/allOf/{index}", value, path)
    if "if" in schema:
        branch = "then" if compiled.holds(f"{pointer}/if", value) else "else"
        if branch in schema:
            yield _Place(f"{pointer}/{branch}", value, path)
    if isinstance(value, dict):
        yield from _of_object(compiled, place, schema)
    elif isinstance(value, list):
        yield from _of_array(place, schema)


def _of_object(compiled: CompiledSchema, place: _Place, schema: dict[str, Any]) -> Iterator[_Place]:
    pointer, value, path = place.pointer, place.value, place.path
    for rule in ("dependentSchemas", "dependencies"):
        for name, needs in schema.get(rule, {}).items():
            if name in value and isinstance(needs, dict | bool):
                yield _Place(f"{pointer}/{rule}/{escape(name)}", value, path)
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    others = schema.get("additionalProperties")
    for name, inner in value.items():
        known = name in properties
        if known:
            yield _Place(f"{pointer}/properties/{escape(name)}", inner, (*path, name))
        for pattern in patterns:
            if compiled.name_matches(pattern, name):
                known = True
                yield _Place(f"{pointer}/patternProperties/{escape(pattern)}", inner, (*path, name))
        if not known and isinstance(others, dict):
            yield _Place(f"{pointer}/additionalProperties", inner, (*path, name))
        if "propertyNames" in schema:
            yield _Place(f"{pointer}/propertyNames", name, (*path, name))


def _of_array(place: _Place, schema: dict[str, Any]) -> Iterator[_Place]:
    pointer, path = place.pointer, place.path
    heads, rest = _item_rules(schema)
    first = len(schema.get(heads, ()))
    for index, inner in enumerate(place.value):
        if index < first:
            yield _Place(f"{pointer}/{heads}/{index}", inner, (*path, index))
        elif schema.get(rest) is False:  # one error of the array, not one for each surplus item
            return
        elif rest in schema:
            yield _Place(f"{pointer}/{rest}", inner, (*path, index))


def _item_rules(schema: dict[str, Any]) -> tuple[str, str]:
    """The rule for the first items and the one for the rest: their names changed with 2020-12."""
    return ("items", "additionalItems") if isinstance(schema.get("items"), list) else ("prefixItems", "items")
