"""Dataclasses of plain types as JSON Schema, and JSON values read into them, without Pydantic. Pure.

Plain types: str, int, float, bool, None, Any, list, dict with text keys, Literal, Enum, unions and other
dataclasses. A value must have the type itself: nothing is coerced but a whole float to int and int to float.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llmreq.check import messages

Schema: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]
Read: TypeAlias = Callable[[Any, Path], Any]


@dataclass(frozen=True, slots=True)
class Misfit:
    """One fault of a value: where, as `items[0].price`, and what."""

    field: str
    message: str


class MisfitError(ValueError):
    """A value that is no instance of the type."""

    def __init__(self, misfits: list[Misfit]) -> None:
        first = misfits[0]
        more = f" (and {len(misfits) - 1} more)" if len(misfits) > 1 else ""
        super().__init__(f"{first.field}: {first.message}{more}")
        self.misfits = misfits


class UnsayableError(ValueError):
    """A type of which no schema can be made."""


def field_of(path: Iterable[str | int]) -> str:
    """A path as errors show it: `items[0].price`, `$` for the whole value."""
    return messages.field_of(tuple(path), "")


def plain_type(kind: Any) -> tuple[Schema, Callable[[Any], Any]]:
    """The schema of a dataclass or another plain type, and its reader. Raises UnsayableError."""
    builder = _Builder(root=kind)
    schema, read = builder.dataclass(kind) if dataclasses.is_dataclass(kind) else builder.of(kind, "it")
    if builder.defs:
        schema = {**schema, "$defs": builder.defs}
    return schema, lambda value: read(value, ())


@dataclass(slots=True)
class _Builder:
    root: Any
    defs: dict[str, Schema] = field(default_factory=dict)
    named: dict[str, Any] = field(default_factory=dict)
    readers: dict[Any, Read] = field(default_factory=dict)

    def of(self, kind: Any, where: str) -> tuple[Schema, Read]:
        """One type; `where` names it in errors."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is Any:
            return {}, lambda value, _: value
        if kind in _SCALARS:
            name, python = _SCALARS[kind]
            return {"type": name}, _scalar(name, python)
        if origin is typing.Annotated:
            return self.of(arguments[0], where)
        if origin is typing.Literal:
            return _one_of(list(arguments), list(arguments), where)
        if origin in (typing.Union, types.UnionType):
            return self.union(arguments, where)
        if origin is list or kind is list:
            return self.array(arguments[0] if arguments else Any, where)
        if kind is dict or (origin is dict and arguments[0] is str):
            return self.mapping(arguments[1] if arguments else Any, where)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return _one_of([each.value for each in kind], list(kind), where)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return self.reference(kind)
        name = kind.__name__ if isinstance(kind, type) else str(kind)
        raise UnsayableError(
            f"{where} is of type {name}, which needs Pydantic: pip install 'llmreq[pydantic]'"
        )

    def union(self, kinds: tuple[Any, ...], where: str) -> tuple[Schema, Read]:
        parts = [self.of(kind, where) for kind in kinds]

        def read(value: Any, path: Path) -> Any:
            misfits: list[Misfit] = []
            for _, part in parts:
                try:
                    return part(value, path)
                except MisfitError as error:
                    misfits += error.misfits
            # The branch that went deepest is the one that was meant.
            raise MisfitError([max(misfits, key=lambda each: len(each.field))])

        return {"anyOf": [schema for schema, _ in parts]}, read

    def array(self, kind: Any, where: str) -> tuple[Schema, Read]:
        schema, item = self.of(kind, f"an item of {where}")

        def read(value: Any, path: Path) -> Any:
            if not isinstance(value, list):
                raise _wrong(path, "must be array")
            return list(_all(((index, each, item) for index, each in enumerate(value)), path).values())

        return {"type": "array", "items": schema}, read

    def mapping(self, kind: Any, where: str) -> tuple[Schema, Read]:
        schema, item = self.of(kind, f"a value of {where}")

        def read(value: Any, path: Path) -> Any:
            if not isinstance(value, dict):
                raise _wrong(path, "must be object")
            return _all(((name, each, item) for name, each in value.items()), path)

        return {"type": "object", "additionalProperties": schema}, read

    def reference(self, kind: Any) -> tuple[Schema, Read]:
        """A dataclass inside another, or inside itself: described once, read when both are known."""
        name = kind.__name__
        if kind is not self.root:
            if self.named.setdefault(name, kind) is not kind:
                raise UnsayableError(f"two dataclasses are named {name}")
            if name not in self.defs:
                self.defs[name] = {}  # its place, for a dataclass that holds itself
                self.defs[name] = self.dataclass(kind)[0]
        target = "#" if kind is self.root else f"#/$defs/{name}"
        return {"$ref": target}, lambda value, path: self.readers[kind](value, path)

    def dataclass(self, kind: Any) -> tuple[Schema, Read]:
        try:
            hints = typing.get_type_hints(kind, include_extras=True)
        except NameError as problem:
            raise UnsayableError(f"the types of {kind.__name__} cannot be read: {problem}") from None
        fields = [each for each in dataclasses.fields(kind) if each.init]
        parts = {each.name: self.of(hints[each.name], f"{kind.__name__}.{each.name}") for each in fields}
        required = [each.name for each in fields if _is_required(each)]

        def read(value: Any, path: Path) -> Any:
            if not isinstance(value, dict):
                raise _wrong(path, "must be object")
            missing = [
                Misfit(field_of((*path, name)), "is missing") for name in required if name not in value
            ]
            surplus = [
                Misfit(field_of((*path, name)), "is not expected") for name in value if name not in parts
            ]
            if missing or surplus:
                raise MisfitError(missing + surplus)
            given = _all(((name, each, parts[name][1]) for name, each in value.items()), path)
            try:
                return kind(**given)
            except (ValueError, TypeError) as problem:  # its own __post_init__
                raise _wrong(path, str(problem)) from None

        self.readers[kind] = read
        schema = {
            "type": "object",
            "properties": {name: part for name, (part, _) in parts.items()},
            "required": required,
            "additionalProperties": False,
        }
        return schema, read


_SCALARS: Mapping[Any, tuple[str, type]] = {
    str: ("string", str),
    bool: ("boolean", bool),
    int: ("integer", int),
    float: ("number", float),
    type(None): ("null", type(None)),
    None: ("null", type(None)),
}


def _scalar(name: str, python: type) -> Read:
    def read(value: Any, path: Path) -> Any:
        if python is int and isinstance(value, float) and value.is_integer():
            return int(value)  # JSON Schema calls 3.0 an integer
        if python is float and type(value) is int:
            return float(value)
        if type(value) is not python:
            raise _wrong(path, f"must be {name}")
        return value

    return read


def _one_of(said: list[Any], meant: list[Any], where: str) -> tuple[Schema, Read]:
    if any(type(each) not in (str, int, bool, type(None)) for each in said):
        raise UnsayableError(f"{where} may only be text, whole numbers, true, false or null")

    def read(value: Any, path: Path) -> Any:
        for word, meaning in zip(said, meant, strict=True):
            if type(word) is type(value) and word == value:
                return meaning
        raise _wrong(path, messages.message_for("enum", said))

    return {"enum": said}, read


def _all(parts: Iterable[tuple[Any, Any, Read]], path: Path) -> dict[Any, Any]:
    """Every (key, value, its reader) read; all their misfits at once."""
    found: dict[Any, Any] = {}
    misfits: list[Misfit] = []
    for key, value, read in parts:
        try:
            found[key] = read(value, (*path, key))
        except MisfitError as error:
            misfits += error.misfits
    if misfits:
        raise MisfitError(misfits)
    return found


def _is_required(each: dataclasses.Field[Any]) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def _wrong(path: Path, message: str) -> MisfitError:
    return MisfitError([Misfit(field_of(path), message)])
