"""What a model is asked for one claim: the row's messages, or an agent's prompt with its page, results or brief. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmreq.agent.prompt import agent_messages, labels_text
from llmreq.check.feedback import reask_messages
from llmreq.merge.reduce import reduce_messages
from llmreq.text.brief import turns_text
from llmreq.wire.outcome import Call
from llmreq.worker.document import page_results
from llmreq.worker.engine import Claim

_OURS = ("brief_tokens", "labels")
"""Params that are for us and not for a provider."""


def as_call(claim: Claim) -> Call:
    """The claim as a call, with the errors of the last answer where it is asked again."""
    messages = question(claim)
    if claim.last_errors and claim.last_response is not None:
        messages = reask_messages(messages, claim.last_response, claim.last_errors)
    return Call(
        model=claim.model,
        messages=messages,
        max_output_tokens=claim.max_output_tokens,
        response_schema=claim.response_schema,
        tools=claim.tools,
        tool_choice=claim.tool_choice,
        params={name: value for name, value in (claim.params or {}).items() if name not in _OURS}
        if claim.document
        else claim.params or {},
    )


def question(claim: Claim) -> Sequence[Mapping[str, Any]]:
    """The messages, before any feedback."""
    document = claim.document
    if document is None:
        return _own_messages(claim)
    if document["results"] is not None:
        return reduce_messages(page_results(document["results"]), _reduce_instructions(claim))
    if document["brief"] is not None and claim.messages is not None:
        return _with_brief(claim.messages, document["brief"])
    if document["system_prompt"] is None:
        return _own_messages(claim)
    if claim.kind != "brief" and claim.messages is not None:
        return [{"role": "system", "content": document["system_prompt"]}, *claim.messages]
    return agent_messages(
        document["system_prompt"],
        input_text(claim),
        page=document["page"] if document["page_count"] and claim.kind != "brief" else None,
        pages=document["page_count"],
        previous=document["previous"],
        labels=(claim.params or {}).get("labels"),
    )


def _own_messages(claim: Claim) -> Sequence[Mapping[str, Any]]:
    return claim.messages if claim.messages is not None else [{"role": "user", "content": claim.content}]


def _reduce_instructions(claim: Claim) -> str:
    labels = (claim.params or {}).get("labels")
    said = f"\n\n{labels_text(labels)}" if labels else ""
    return (claim.document["system_prompt"] or "") + said


def input_text(claim: Claim) -> str:
    """The text that is worked on: the content, or the turns as text."""
    return claim.content if claim.content is not None else turns_text(claim.messages or [])


def _with_brief(messages: Sequence[Mapping[str, Any]], brief: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    first, last = brief["turns"]
    note = f"A brief of the conversation's earlier turns:\n{brief['text']}"
    return [*messages[:first], {"role": "user", "content": note}, *messages[last:]]
