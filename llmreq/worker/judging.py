"""What an answer comes to: its bill and names, its failure or its verdict, and what a document adds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmreq.errors import ErrorCode
from llmreq.limits import SIDE_CHECK_SECONDS
from llmreq.text.brief import summarized
from llmreq.text.tokens import best_estimator
from llmreq.wire.outcome import Answer
from llmreq.worker.document import merge_report
from llmreq.worker.engine import Claim
from llmreq.worker.local import brief_tokens
from llmreq.worker.question import input_text
from llmreq.worker.report import answer_facts, failure_facts
from llmreq.worker.verdict import Expectation, verdict


def judged(claim: Claim, answer: Answer, expected: Expectation, latency_ms: int) -> dict[str, Any]:
    """The facts of an answer. HTTP, refusal and finish reason came first, with the wire; then the text is checked."""
    facts = answer_facts(answer, latency_ms)
    if answer.failure is not None:
        return {**facts, **failure_facts(answer.failure)}
    facts |= verdict(answer, expected)
    if claim.document is not None and facts["outcome"] == "completed":
        facts |= _of_a_document(claim, facts)
    return facts


def not_judged(answer: Answer, latency_ms: int, why: str | None = None) -> dict[str, Any]:
    """The facts of an answer whose check did not come to an end: kept and billed, and not accepted."""
    facts = answer_facts(answer, latency_ms)
    if answer.failure is not None:
        return {**facts, **failure_facts(answer.failure)}
    message = why or f"could not be judged within {SIDE_CHECK_SECONDS:g} s: simplify the schema's patterns"
    error = {"type": "schema_error", "field": "$", "message": message, "rule": "time", "schema_path": ""}
    return {
        **facts,
        "outcome": ErrorCode.SCHEMA_MISMATCH,
        "validation_errors": [error],
        "error_message": message,
    }


def _of_a_document(claim: Claim, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What else is said: a brief is brought under its cap, a reduced document tells which pages it lacks."""
    if claim.kind == "brief":
        answer = facts["parsed_response"] if facts.get("parsed_response") is not None else facts["response"]
        made = summarized(answer, input_text(claim), brief_tokens(claim), best_estimator())
        return {"parsed_response": made.as_json()}
    if claim.document["results"] is not None:
        return {"merge_report": merge_report(claim.document["results"], "reduce")}
    return {}
