"""An answer as the caller's own type: its JSON Schema goes into the row, its instance comes back. Pure.

Any type that Pydantic knows, when Pydantic is there (it is imported when a type is first given, not before);
dataclasses of plain types without it, by plain_types.py.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llmreq.check.schemas import compile_schema
from llmreq.errors import InvalidRequestError, InvalidSchemaError
from llmreq.limits import ANSWER_TYPES_KEPT
from llmreq.producer.plain_types import Misfit, MisfitError, UnsayableError, field_of, plain_type

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema


@dataclass(frozen=True, slots=True)
class AnswerType:
    """A type as a schema, also as the row's JSON text, and the reader of a value. It raises MisfitError."""

    schema: Mapping[str, Any]
    schema_text: str
    read: Callable[[Any], Any]


def answer_type(model: Any) -> AnswerType:
    """The schema and the reader of a Pydantic model class, a dataclass, or another type of these.

    Raises InvalidRequestError when no schema can be made of it.
    """
    if not (isinstance(model, type) or hasattr(model, "__origin__") or type(model).__name__ == "UnionType"):
        raise InvalidRequestError(
            f"response_model must be a Pydantic model class or a dataclass, not {_shown(model)}"
        )
    try:
        return _kept(model)
    except TypeError as problem:  # a type that cannot be hashed
        raise InvalidRequestError(f"response_model {_shown(model)}: {problem}") from None


@lru_cache(maxsize=ANSWER_TYPES_KEPT)
def _kept(model: Any) -> AnswerType:
    try:
        schema, read = _by_pydantic(model) if _has_pydantic() else plain_type(model)
        compile_schema(schema)
    except (UnsayableError, InvalidSchemaError) as problem:
        raise InvalidRequestError(f"response_model {_shown(model)}: {problem}") from None
    return AnswerType(schema, json.dumps(schema, ensure_ascii=False, separators=(",", ":")), read)


def parameters_type(function: Callable[..., Any]) -> AnswerType:
    """A function's parameters, by its annotations, as an object; reads to the arguments to call it with.

    Raises InvalidRequestError for what cannot be given by name, or has a type that no schema can say.
    """
    fields: list[tuple[str, Any, Any]] = []
    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, ValueError, TypeError) as problem:
        raise InvalidRequestError(f"its parameters cannot be read: {problem}") from None
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise InvalidRequestError(f"its parameter {name} cannot be given by name")
        kind = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields.append((name, kind, _field(parameter)))
    arguments = dataclasses.make_dataclass("Arguments", fields)
    found = answer_type(arguments)
    return dataclasses.replace(found, read=lambda value: _as_arguments(found.read(value)))


def _field(parameter: inspect.Parameter) -> Any:
    if parameter.default is parameter.empty:
        return dataclasses.field(kw_only=True)
    return dataclasses.field(kw_only=True, default_factory=lambda: parameter.default)


def _as_arguments(read: Any) -> dict[str, Any]:
    return {field.name: getattr(read, field.name) for field in dataclasses.fields(read)}


def _has_pydantic() -> bool:
    try:
        import pydantic
    except ImportError:
        return False
    return hasattr(pydantic, "TypeAdapter")  # version 1 has none


def _by_pydantic(model: Any) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    import pydantic
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
            """A dataclass has exactly its fields, unless its own configuration says otherwise."""
            said = super().dataclass_schema(schema)
            said.setdefault("additionalProperties", False)
            return said

    try:
        adapter = pydantic.TypeAdapter(model)
        schema = adapter.json_schema(schema_generator=Generator)
    except (pydantic.errors.PydanticUserError, NameError) as problem:
        raise UnsayableError(str(problem).splitlines()[0]) from None

    def read(value: Any) -> Any:
        try:
            # As JSON: a strict model takes a date as text there, and only there.
            return adapter.validate_json(json.dumps(value))
        except pydantic.ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            raise MisfitError([Misfit(field_of(each["loc"]), each["msg"]) for each in found]) from None

    return _with_object_root(schema), read


def _with_object_root(schema: dict[str, Any]) -> dict[str, Any]:
    """A type that holds itself is a bare reference at the root; vendors want an object there."""
    if set(schema) != {"$ref", "$defs"}:
        return schema
    root = schema["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return {**root, "$defs": schema["$defs"]}


def _shown(model: Any) -> str:
    return model.__name__ if isinstance(model, type) else repr(model)[:100]
