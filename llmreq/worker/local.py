"""The free tier: `local/rules` and a document's steps run on this machine and need nothing. Pure."""

from __future__ import annotations

import time
from typing import Any

import orjson

from llmreq.check.check import check_text
from llmreq.errors import InvalidRequestError
from llmreq.text.brief import DEFAULT_BRIEF_TOKENS, concatenated
from llmreq.text.rules import RulesTask, run_rules
from llmreq.text.tokens import best_estimator
from llmreq.wire.outcome import Billed
from llmreq.worker.document import LOCAL_PAGES, run_pages
from llmreq.worker.engine import Claim
from llmreq.worker.question import input_text
from llmreq.worker.report import elapsed_ms
from llmreq.worker.verdict import Expectation, checked_facts

LOCAL_RULES = "local/rules"


def local_facts(claim: Claim, expected: Expectation) -> dict[str, Any]:
    """The facts of a local step. Takes its time: run it in a thread or beside. Raises InvalidRequestError."""
    started = time.monotonic()
    facts = run_pages(claim, expected) if claim.lane == LOCAL_PAGES else _run_rules(claim, expected)
    return {**facts, "latency_ms": elapsed_ms(started)}


def _run_rules(claim: Claim, expected: Expectation) -> dict[str, Any]:
    if claim.kind == "brief":
        made = concatenated(input_text(claim), brief_tokens(claim), best_estimator())
        return {"outcome": "completed", "parsed_response": made.as_json(), "response": made.text, **_FREE}
    result = run_rules(RulesTask(claim.task_type, _text(claim), claim.params or {}))
    text = orjson.dumps(result).decode()
    checked = check_text(text, schema=expected.schema, allow_text=expected.allow_text)
    return {**checked_facts(checked, text), **_FREE}


def brief_tokens(claim: Claim) -> int:
    """The cap of a brief: params.brief_tokens. Raises InvalidRequestError."""
    given = (claim.params or {}).get("brief_tokens", DEFAULT_BRIEF_TOKENS)
    if type(given) is not int or not 1 <= given <= 1_000_000:
        raise InvalidRequestError(
            f"params.brief_tokens must be a whole number from 1 to 1000000, not {given!r:.40}"
        )
    return given


_FREE: dict[str, Any] = {"billed": Billed.BY_USAGE, "input_tokens": 0, "output_tokens": 0}


def _text(claim: Claim) -> str:
    if claim.content is not None:
        return claim.content
    parts = [
        m["content"] for m in claim.messages if m.get("role") == "user" and isinstance(m.get("content"), str)
    ]
    if not parts:
        raise InvalidRequestError("local/rules needs text: set content, or a user message with text")
    return "\n\n".join(parts)
