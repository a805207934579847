"""The free tier: `local/rules` runs in this process and needs nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson

from llmreq.check.check import check_text
from llmreq.errors import InvalidRequestError
from llmreq.text.rules import RulesTask, run_rules
from llmreq.wire.outcome import Billed
from llmreq.worker.engine import Claim
from llmreq.worker.verdict import Expectation, checked_facts

LOCAL_RULES = "local/rules"


async def run_local(claim: Claim, expected: Expectation) -> dict[str, Any]:
    """Run the rules on the claim's text, in a thread. Raises InvalidRequestError for what rules cannot do."""
    task = RulesTask(claim.task_type, _text(claim), claim.params or {})
    started = time.monotonic()
    result = await asyncio.to_thread(run_rules, task)
    text = orjson.dumps(result).decode()
    checked = await asyncio.to_thread(
        check_text, text, schema=expected.schema, allow_text=expected.allow_text
    )
    return {
        **checked_facts(checked, text),
        "billed": Billed.BY_USAGE,
        "input_tokens": 0,
        "output_tokens": 0,
        "latency_ms": round((time.monotonic() - started) * 1000),
    }


def _text(claim: Claim) -> str:
    if claim.content is not None:
        return claim.content
    parts = [
        m["content"] for m in claim.messages if m.get("role") == "user" and isinstance(m.get("content"), str)
    ]
    if not parts:
        raise InvalidRequestError("local/rules needs text: set content, or a user message with text")
    return "\n\n".join(parts)
