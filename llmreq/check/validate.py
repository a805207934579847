"""The verdict on one decoded value, as the error records of the contract."""

from __future__ import annotations

from itertools import islice
from typing import Any

from llmreq.check.explain import Finding, explain
from llmreq.check.messages import Path, field_of
from llmreq.check.schemas import CompiledSchema
from llmreq.limits import (
    EXPLAIN_CHARS,
    MAX_ANSWER_BYTES,
    MAX_VALIDATION_ERRORS,
    MIN_EXPLAIN_REREADS,
    VALIDATION_ERRORS_COUNTED,
)


def schema_errors(
    compiled: CompiledSchema, value: Any, *, chars: int, prefix: str = ""
) -> list[dict[str, Any]]:
    """Every `schema_error` of a value, sorted by path; none when it is valid. `chars`: the size of its text.

    Past `MAX_VALIDATION_ERRORS` a last record counts the rest. `field` of a missing or surplus property is
    the path of that property, not of its parent.
    """
    if compiled.pattern_chars < MAX_ANSWER_BYTES and _text_exceeds(value, compiled.pattern_chars):
        message = (
            f"has more text than its patterns may be matched against ({compiled.pattern_chars} characters)"
        )
        return [_record(prefix, (), "pattern", message, "")]
    try:
        if compiled.is_valid(value):
            return []
    except (ValueError, TypeError):  # a lone surrogate: only values that `decode` did not make have one
        return [_record(prefix, (), "schema", "holds text that is no Unicode", "")]
    rereads = max(MIN_EXPLAIN_REREADS, EXPLAIN_CHARS // max(chars, 1))
    findings = list(islice(explain(compiled, value, rereads=rereads), VALIDATION_ERRORS_COUNTED))
    return _records(_distinct(findings), prefix)


def _records(findings: list[Finding], prefix: str) -> list[dict[str, Any]]:
    kept = findings[:MAX_VALIDATION_ERRORS]
    records = [_record(prefix, each.path, each.rule, each.message, each.schema_path) for each in kept]
    if more := len(findings) - len(kept):
        many = "at least " if len(findings) >= VALIDATION_ERRORS_COUNTED else ""
        records.append(_record(prefix, (), "too_many_errors", f"{many}{more} more errors are not listed", ""))
    return records


def _distinct(findings: list[Finding]) -> list[Finding]:
    return sorted(dict.fromkeys(findings), key=_order)


def _order(finding: Finding) -> tuple[list[tuple[bool, int, str]], str, str]:
    steps = [
        (False, step, "") if isinstance(step, int) else (True, 0, step) for step in finding.path
    ]  # [2] before [10], and numbers beside names compare
    return steps, finding.schema_path, finding.message


def _record(prefix: str, path: Path, rule: str, message: str, schema_path: str) -> dict[str, Any]:
    return {
        "type": "schema_error",
        "field": field_of(path, prefix),
        "message": message,
        "rule": rule,
        "schema_path": schema_path,
    }


def _text_exceeds(value: Any, chars: int) -> bool:
    """Whether the strings and keys of a value have more characters than that."""
    pending = [value]
    while pending:
        inner = pending.pop()
        if isinstance(inner, str):
            chars -= len(inner)
            if chars < 0:
                return True
        elif isinstance(inner, list):
            pending.extend(inner)
        elif isinstance(inner, dict):
            pending.extend(inner)
            pending.extend(inner.values())
    return False
