"""The tools of a request, their parameter schemas compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmreq.check.schemas import CompiledSchema, compile_schema
from llmreq.errors import InvalidRequestError, InvalidSchemaError


@dataclass(frozen=True, slots=True)
class ToolSchemas:
    """Parameter schemas by tool name, in the order the tools were given."""

    by_name: Mapping[str, CompiledSchema] = field(default_factory=dict)


def compile_tools(tools: object) -> ToolSchemas:
    """Compile `[{"name","description","parameters"}]`; OpenAI's and Anthropic's forms too.

    None means no tools; a tool without a schema takes any object. Raises InvalidRequestError for a wrong
    shape or a name given twice, InvalidSchemaError for a bad parameter schema.
    """
    if tools is None:
        return ToolSchemas()
    if not isinstance(tools, list | tuple):
        raise InvalidRequestError("tools must be a list of tool definitions", details={"field": "tools"})
    by_name: dict[str, CompiledSchema] = {}
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        name, parameters = _read(tool, where)
        if name in by_name:
            raise InvalidRequestError(
                f"{where} has the name {name[:80]!r} of another tool", details={"field": where}
            )
        try:
            by_name[name] = compile_schema(parameters)
        except InvalidSchemaError as error:
            message = f"parameters of tool {name[:80]!r}: {error.message}"
            raise InvalidSchemaError(message, details={**error.details, "field": where}) from None
    return ToolSchemas(by_name)


def _read(tool: Any, where: str) -> tuple[str, Any]:
    definition = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(definition, Mapping):
        raise InvalidRequestError(f"{where} must be an object", details={"field": where})
    name = definition.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequestError(f"{where} has no name", details={"field": f"{where}.name"})
    for key in ("parameters", "input_schema"):
        if definition.get(key) is not None:
            return name, definition[key]
    return name, {"type": "object"}
