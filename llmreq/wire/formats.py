"""Which wire format speaks to which provider."""

from __future__ import annotations

from typing import Protocol

from llmreq.wire import anthropic, openai
from llmreq.wire.outcome import Answer, Call, HttpRequest, HttpResponse
from llmreq.wire.provider import Provider


class Wire(Protocol):
    """Pure functions: a call becomes a request, a response becomes an answer. `now` is in Unix seconds.

    A request of a provider without its key lacks the `key_headers`, and nothing else.
    """

    @staticmethod
    def build(provider: Provider, call: Call) -> HttpRequest: ...

    @staticmethod
    def key_headers(provider: Provider) -> dict[str, str]: ...

    @staticmethod
    def parse(provider: Provider, response: HttpResponse, now: float) -> Answer: ...


def wire_for(provider: Provider) -> Wire:
    """The wire format a provider speaks."""
    return anthropic.Anthropic if provider.api == "anthropic" else openai.OpenAI
