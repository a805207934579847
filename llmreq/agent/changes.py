"""What a new output schema changes for those who read the answers of the old one.

A change is breaking when an answer under the new schema may be one that the old schema did not allow, or no longer carries a
field that readers know:

- a field vanished; a field that was always there may now be missing; a value may be of another type (also null);
- an `enum` has a new value: a reader that tells the old ones apart meets one it does not know;
- a bound is wider (`maximum`, `maxLength`, `minItems` …), or a rule such as `pattern` or `format` is gone or another one.

A new field is not breaking, not even where the old schema forbade further ones: readers of JSON skip what they do not know.
Nor is anything that only narrows what may come. Descriptions, titles, defaults and `x-` keys are not compared.

`anyOf` and `oneOf` are compared as one: what any alternative allows against what any alternative allowed. That two fields no
longer go together is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from llmreq.agent.shape import (
    ALL_TYPES,
    INTERPLAY,
    LOWER,
    ROOT,
    RULES,
    UPPER,
    Place,
    Shape,
    Shapes,
    concerns,
    text_of,
)
from llmreq.check.messages import clip, field_of, shown
from llmreq.check.schemas import compile_schema
from llmreq.limits import SCHEMA_CHANGES_TOLD, SCHEMA_PLACES_COMPARED

Kind: TypeAlias = Literal[
    "removed", "added", "type", "required", "enum", "widened", "narrowed", "rule", "opened", "unfinished"
]
"""`required`: a field is now, or is no longer, in every answer. `opened`: fields without a name are now allowed.
`unfinished`: more changed than is told, or more is there than was compared."""

Pair: TypeAlias = tuple[Place, Place]
Step: TypeAlias = tuple[str, Pair]

_NOT_FINITE = ALL_TYPES - {"null"}
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `path` as people write it: `entities[].type`, `scores.*`, `$` for the whole answer.

    `message` is one line that begins with the path.
    """

    path: str
    kind: Kind
    breaking: bool
    message: str


def schema_changes(old: dict[str, Any] | None, new: dict[str, Any] | None) -> list[Change]:
    """What a new output schema changes, from the root down, fields by their names; None is an agent that answers in text.

    Raises InvalidSchemaError for what `compile_schema` refuses.
    """
    if old is None or new is None:
        if old == new:
            return []
        said = ("is now text, was JSON", "is now JSON, was text")[old is None]
        return [_change("", "type", True, said)]
    return _told(list(_all_changes(Shapes(compile_schema(old)), Shapes(compile_schema(new)))))


def _all_changes(old: Shapes, new: Shapes) -> Iterator[Change]:
    """Depth first, by an own stack; a pair met again on the way down is a recursive schema and needs no second look."""
    pending: list[tuple[str, Pair, frozenset[Pair]]] = [("", (ROOT, ROOT), frozenset())]
    for _ in range(SCHEMA_PLACES_COMPARED):
        if not pending:
            return
        path, pair, above = pending.pop()
        before, after = old.at(pair[0]), new.at(pair[1])
        yield from _here(path, before, after)
        below = above | {pair}
        inside = [
            step for step in _inside(path, before, after) if step[1] not in below and not _free(step[1][0])
        ]
        pending.extend((where, inner, below) for where, inner in reversed(inside))
    yield _change("", "unfinished", True, "has more fields than were compared")


def _here(path: str, old: Shape, new: Shape) -> Iterator[Change]:
    if not old.types:
        if new.types:
            yield _change(path, "type", True, f"was never there, is now {_types(new)}")
        return
    if not new.types:
        yield _change(path, "removed", True, "can hold no value any more")
        return
    if old.types != new.types:
        wider = not new.types <= old.types
        yield _change(
            path, "type" if wider else "narrowed", wider, f"was {_types(old)}, is now {_types(new)}"
        )
    common = old.types & new.types
    if common & _NOT_FINITE:
        yield from _values(path, old, new)
    yield from _rules(path, old, new, common)
    if "object" in common:
        yield from _fields(path, old, new)


def _values(path: str, old: Shape, new: Shape) -> Iterator[Change]:
    if new.values is None:
        if old.values is not None:
            yield _change(path, "enum", True, f"was one of {_list(old.values)}, is now {_any(new)}")
        return
    if old.values is None:
        yield _change(path, "narrowed", False, f"is now only one of {_list(new.values)}")
        return
    gained = {key: value for key, value in new.values.items() if key not in old.values}
    lost = {key: value for key, value in old.values.items() if key not in new.values}
    if gained:
        yield _change(path, "enum", True, f"may now also be {_list(gained)}")
    if lost:
        yield _change(path, "narrowed", False, f"is no longer {_list(lost)}")


def _rules(path: str, old: Shape, new: Shape, common: frozenset[str]) -> Iterator[Change]:
    for rule in sorted(RULES & (old.rules.keys() | new.rules.keys())):
        if not concerns(rule) & common:
            continue
        before, after = old.rules.get(rule, _NOTHING), new.rules.get(rule, _NOTHING)
        if before is not _NOTHING and after is not _NOTHING and text_of(before) == text_of(after):
            continue
        kind = _kind(rule, before, after)
        words = f"{rule} was {_rule(before)}, is now {_rule(after)}"
        yield _change(path, kind, kind != "narrowed", words)


def _kind(rule: str, before: Any, after: Any) -> Kind:
    if rule in INTERPLAY:
        return "rule"
    if before is _NOTHING:
        return "narrowed"
    if rule in LOWER or rule in UPPER:
        if after is _NOTHING:
            return "widened"
        return "narrowed" if (after > before) == (rule in LOWER) else "widened"
    return "rule"


def _fields(path: str, old: Shape, new: Shape) -> Iterator[Change]:
    for name in old.properties:
        where = field_of((name,), path)
        if name not in new.properties:
            yield _change(where, "removed", True, "is no longer a field of the answer")
        elif name in old.required and name not in new.required:
            yield _change(where, "required", True, "was in every answer, may now be missing")
        elif name in new.required and name not in old.required:
            yield _change(where, "required", False, "is now in every answer")
    for name in new.properties:
        if name not in old.properties:
            often = "in every answer" if name in new.required else "not in every answer"
            yield _change(field_of((name,), path), "added", False, f"is a new field, {often}")
    if old.rest is None and new.rest is not None:
        yield _change(path, "opened", False, "may now have fields that the schema does not name")
    elif old.rest is not None and new.rest is None:
        if _free(old.rest):
            yield _change(path, "narrowed", False, "has only fields that the schema names")
        else:
            yield _change(_any_field(path), "removed", True, "are no longer fields of the answer")


def _inside(path: str, old: Shape, new: Shape) -> Iterator[Step]:
    common = old.types & new.types
    if "object" in common:
        for name, place in old.properties.items():
            if name in new.properties:
                yield field_of((name,), path), (place, new.properties[name])
        if old.rest is not None:
            for name, place in new.properties.items():
                if name not in old.properties:
                    yield field_of((name,), path), (old.rest, place)
            if new.rest is not None:
                yield _any_field(path), (old.rest, new.rest)
    if "array" in common:
        yield f"{path}[]", (old.items, new.items)


def _free(place: Place) -> bool:
    """Whether anything at all may be there: then nothing can be new to its readers."""
    return () in place


def _told(changes: list[Change]) -> list[Change]:
    if len(changes) <= SCHEMA_CHANGES_TOLD:
        return changes
    changes.sort(key=lambda change: not change.breaking)
    kept, rest = changes[: SCHEMA_CHANGES_TOLD - 1], changes[SCHEMA_CHANGES_TOLD - 1 :]
    broken = any(change.breaking for change in rest)
    return [*kept, _change("", "unfinished", broken, f"has {len(rest)} more changes")]


def _change(path: str, kind: Kind, breaking: bool, words: str) -> Change:
    where = path or "$"
    return Change(where, kind, breaking, " ".join(f"{where}: {words}".splitlines()))


def _any_field(path: str) -> str:
    return f"{path}.*" if path else "*"


def _types(shape: Shape) -> str:
    if shape.types == ALL_TYPES:
        return "any value"
    names = set(shape.types)
    if "fraction" in names:
        names = names - {"fraction", "integer"} | {"number"}
    return " or ".join(sorted(names, key=lambda name: (name == "null", name)))


def _any(shape: Shape) -> str:
    return _types(shape) if shape.types == ALL_TYPES else f"any {_types(shape)}"


def _list(values: dict[str, Any]) -> str:
    return clip(", ".join(shown(value) for value in values.values()), 200)


def _rule(value: Any) -> str:
    return "not set" if value is _NOTHING else clip(shown(value), 100)
