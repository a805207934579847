"""JSON Schemas compiled once and kept: refused here, before any money is spent, when they are no use.

Dialects: 2020-12 (the default), 2019-09 and draft-07 by `$schema`. `format` is an annotation, as the
standard has it.
A verdict is the Rust validator's; `explain.py` finds the errors behind a negative one.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeAlias
from urllib.parse import quote

import jsonschema_rs
import orjson

from llmreq.check.references import ROOT_URI, SchemaGraph, read_references
from llmreq.errors import InvalidSchemaError
from llmreq.limits import (
    BACKTRACKING_CHARS,
    BACKTRACKING_STEPS,
    COMPILED_SCHEMAS_KEPT,
    MAX_SCHEMA_BYTES,
    PATTERN_TIERS,
)

Patterns: TypeAlias = jsonschema_rs.RegexOptions | jsonschema_rs.FancyRegexOptions

_DEFAULT_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DIALECTS: dict[str, tuple[type[jsonschema_rs.Validator], int]] = {
    _DEFAULT_DIALECT: (jsonschema_rs.Draft202012Validator, jsonschema_rs.Draft202012),
    "https://json-schema.org/draft/2019-09/schema": (
        jsonschema_rs.Draft201909Validator,
        jsonschema_rs.Draft201909,
    ),
    "http://json-schema.org/draft-07/schema": (jsonschema_rs.Draft7Validator, jsonschema_rs.Draft7),
}
_UNKNOWN_RULES: dict[int, frozenset[str]] = {
    jsonschema_rs.Draft202012: frozenset(),
    jsonschema_rs.Draft201909: frozenset({"prefixItems"}),
    jsonschema_rs.Draft7: frozenset(
        {
            *("prefixItems", "dependentSchemas", "dependentRequired", "minContains", "maxContains"),
            *("unevaluatedProperties", "unevaluatedItems"),
        }
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class CompiledSchema:
    """A usable schema.

    `key` is its hash; `pattern_chars` is how much text its `pattern`s may be matched against.
    """

    key: str
    schema: dict[str, Any] | bool
    graph: SchemaGraph
    pattern_chars: int
    _validator: jsonschema_rs.Validator = field(repr=False)
    _dialect: tuple[type[jsonschema_rs.Validator], int] = field(repr=False)
    _patterns: Patterns = field(repr=False)
    _registry: list[jsonschema_rs.Registry] = field(default_factory=list, repr=False)
    _parts: dict[str, jsonschema_rs.Validator] = field(default_factory=dict, repr=False)
    _outlines: dict[str, jsonschema_rs.Validator] = field(default_factory=dict, repr=False)

    def is_valid(self, value: Any) -> bool:
        """The verdict. ValueError when the value cannot be read at all (a lone surrogate)."""
        return self._validator.is_valid(value)

    @property
    def siblings_count(self) -> bool:
        """Whether rules beside a `$ref` count; not in draft-07."""
        return self._dialect[1] != jsonschema_rs.Draft7

    def subschema(self, pointer: str) -> dict[str, Any] | bool | None:
        """The subschema at a pointer without the rules its dialect does not know; None when none is there."""
        found = self.graph.nodes.get(pointer)
        unknown = _UNKNOWN_RULES[self._dialect[1]]
        if isinstance(found, dict) and not unknown.isdisjoint(found):
            return {rule: value for rule, value in found.items() if rule not in unknown}
        return found

    def holds(self, pointer: str, value: Any) -> bool:
        """Whether the value meets one subschema; True when that cannot stand alone (the parent fails)."""
        try:
            return self._part(pointer).is_valid(value)
        except (ValueError, jsonschema_rs.ReferencingError):
            return True

    def name_matches(self, pattern: str, name: str) -> bool:
        """Whether a property's name matches a `patternProperties` key, by the validator's own engine."""
        return self.outline(f"pattern {pattern}", {"pattern": pattern}).is_valid(name)

    def _part(self, pointer: str) -> jsonschema_rs.Validator:
        # Built when first needed, then kept: most answers are valid and need none.
        if not pointer:
            return self._validator
        if (known := self._parts.get(pointer)) is None:
            base = self.graph.bases[pointer]
            inner = pointer.removeprefix(self.graph.resources[base])
            uri = f"{base}#{quote(inner, safe='/~$')}"
            kind, draft = self._dialect
            if not self._registry:  # a copy of the schema: only made for a schema that an answer has failed
                self._registry.append(jsonschema_rs.Registry([(ROOT_URI, self.schema)], draft=draft))
            known = self._parts[pointer] = _build(kind, {"$ref": uri}, self._patterns, self._registry[0])
        return known

    def outline(self, pointer: str, schema: dict[str, Any]) -> jsonschema_rs.Validator:
        """A validator of `schema`, the part of the subschema at `pointer` that needs no other subschema."""
        if (known := self._outlines.get(pointer)) is None:
            known = self._outlines[pointer] = _build(self._dialect[0], schema, self._patterns, None)
        return known


def _build(
    kind: type[jsonschema_rs.Validator],
    schema: Any,
    patterns: Patterns,
    registry: jsonschema_rs.Registry | None,
) -> jsonschema_rs.Validator:
    return kind(
        schema,
        validate_formats=False,
        offline=True,
        mask="the value",  # or each error would carry the whole value as text
        base_uri=ROOT_URI if registry is None else None,
        registry=registry,
        pattern_options=patterns,
    )


_kept: OrderedDict[str, CompiledSchema] = OrderedDict()
_lock = Lock()


def compile_schema(schema: object) -> CompiledSchema:
    """The compiled form of a JSON Schema, from memory when the same schema was compiled lately. Thread-safe.

    Raises InvalidSchemaError (one line, with details) when it is no schema, too large, refers outside itself
    or round in a circle, or has a `pattern` that is no regular expression.
    """
    canonical = _canonical(schema)
    key = hashlib.blake2b(canonical, digest_size=16).hexdigest()
    with _lock:
        if (known := _kept.get(key)) is not None:
            _kept.move_to_end(key)
            return known
    # Compiled outside the lock: two threads may do it twice, no thread waits for another's large schema.
    compiled = _compile(key, _copy(canonical))
    with _lock:
        _kept[key] = compiled
        _kept.move_to_end(key)
        while len(_kept) > COMPILED_SCHEMAS_KEPT:
            _kept.popitem(last=False)
    return compiled


def _canonical(schema: object) -> bytes:
    if not isinstance(schema, dict | bool):
        raise InvalidSchemaError(f"a JSON Schema is an object or true/false, not {_kind(schema)}")
    try:
        canonical = _dump(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidSchemaError(
            "the schema is not plain JSON, or nested too deep", details={"reason": str(error)[:200]}
        ) from None
    if len(canonical) > MAX_SCHEMA_BYTES:
        raise InvalidSchemaError(
            f"the schema has {len(canonical):,} bytes; at most {MAX_SCHEMA_BYTES:,} are accepted",
            details={"bytes": len(canonical), "limit": MAX_SCHEMA_BYTES},
        )
    return canonical


def _dump(schema: object) -> bytes:
    try:
        return orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # integers above 64 bits
        return json.dumps(schema, sort_keys=True, allow_nan=False).encode()


def _copy(canonical: bytes) -> Any:
    """The schema anew, so that a caller who changes theirs changes nothing here; big integers stay exact."""
    return json.loads(canonical)


def _compile(key: str, schema: Any) -> CompiledSchema:
    dialect = _dialect(schema)
    graph = read_references(schema, siblings_count=dialect[1] != jsonschema_rs.Draft7)
    for pointer, part in graph.nodes.items():
        if (
            pointer
            and isinstance(part, dict)
            and part.get("$schema") is not None
            and _dialect(part) != dialect
        ):
            raise InvalidSchemaError(f"the schema mixes dialects: another $schema at #{pointer[:200]}")
    patterns: Patterns
    for size, chars in PATTERN_TIERS:
        patterns = jsonschema_rs.RegexOptions(size_limit=size)
        try:
            validator = _build(dialect[0], schema, patterns, None)
        except (ValueError, jsonschema_rs.ReferencingError):
            continue  # a pattern too large or with look-around, or another fault: the last try tells
        return CompiledSchema(key, schema, graph, chars, validator, dialect, patterns)
    patterns = jsonschema_rs.FancyRegexOptions(
        backtrack_limit=BACKTRACKING_STEPS,
        size_limit=PATTERN_TIERS[-1][0],
        dfa_size_limit=PATTERN_TIERS[-1][0],
    )
    try:
        validator = _build(dialect[0], schema, patterns, None)
    except jsonschema_rs.ValidationError as error:
        raise _invalid(error) from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise InvalidSchemaError(
            "the schema cannot be compiled", details={"reason": str(error).splitlines()[0][:200]}
        ) from None
    return CompiledSchema(key, schema, graph, BACKTRACKING_CHARS, validator, dialect, patterns)


def _dialect(schema: Any) -> tuple[type[jsonschema_rs.Validator], int]:
    named = schema.get("$schema", _DEFAULT_DIALECT) if isinstance(schema, dict) else _DEFAULT_DIALECT
    found = _DIALECTS.get(named.removesuffix("#")) if isinstance(named, str) else None
    if found is None:
        raise InvalidSchemaError(
            f"$schema {str(named)[:100]!r} is not supported; use 2020-12 (the default), 2019-09 or draft-07",
            details={"supported": list(_DIALECTS)},
        )
    return found


def _invalid(error: jsonschema_rs.ValidationError) -> InvalidSchemaError:
    pointer = "#" + "".join(f"/{step}" for step in error.instance_path)
    details = {"pointer": pointer[:200], "rule": error.kind.name, "reason": error.message[:200]}
    if error.kind.name == "format":
        return InvalidSchemaError(f"{pointer[:200]} is no usable regular expression", details=details)
    return InvalidSchemaError(
        f"not a valid JSON Schema at {pointer[:200]}: {error.message[:200]}", details=details
    )


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
