"""Whom a call goes to, as an operator defined it (invariant 7: never a row)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Provider:
    """`base_url` ends in /v1 for the OpenAI format and not for Anthropic's.

    `max_tokens_field`: what the server calls the output cap (OpenAI format only).
    `native_schema`: it takes a JSON Schema in the request; elsewhere the schema goes into the prompt.
    """

    name: str
    api: Literal["openai", "anthropic"]
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    max_tokens_field: str = "max_completion_tokens"
    native_schema: bool = True
