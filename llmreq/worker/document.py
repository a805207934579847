"""A worker's own steps on `local/pages`: count a long request exactly, cut it into pages, merge what the pages came to.

Each is a claim like any other, with a row in the ledger, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmreq.check.check import check_text
from llmreq.errors import ErrorCode, InvalidRequestError
from llmreq.limits import MAX_PAGES
from llmreq.merge.merge import merge_pages
from llmreq.merge.pages import PageResult
from llmreq.text.brief import DEFAULT_BRIEF_TOKENS, turns_text
from llmreq.text.chunking import chunk_text
from llmreq.text.records import chunk_records
from llmreq.text.tokens import TokenEstimator, estimator_for
from llmreq.wire.outcome import Billed, Failure
from llmreq.worker.engine import Claim
from llmreq.worker.outcome_fields import encode
from llmreq.worker.report import failure_facts
from llmreq.worker.verdict import Expectation, checked_facts

LOCAL_PAGES = "local/pages"

ROOM_SHARE = 0.9
"""How much of a window pages fill: vendors count a few tokens more than we do."""

MESSAGE_TOKENS = 8
"""What a message costs beside its text, rounded up."""

_FINER = {"anthropic": 1.6, "voyage": 1.2}
"""How many tokens a vendor counts where we count one, at most: they publish no tokenizer (docs/providers.md)."""


def run_pages(claim: Claim, expected: Expectation) -> dict[str, Any]:
    """One step. Raises InvalidRequestError for what cannot be cut or merged."""
    step = _merged if claim.document["pages"] else _prepared
    return {"billed": Billed.NOT_BILLED, **step(claim, expected)}


def page_results(results: Sequence[Mapping[str, Any]]) -> list[PageResult]:
    """The pages that were answered."""
    return [
        PageResult(
            page=each["page"],
            start=each["start"] or 0,
            end=each["end"] or 0,
            value=each["value"],
            text=each["text"],
            tokens=each["tokens"],
        )
        for each in results
        if each["status"] == "completed"
    ]


def merge_report(results: Sequence[Mapping[str, Any]], strategy: str, **more: Any) -> dict[str, Any]:
    """What stands beside a merged answer: whether it is whole, and if not, which pages are missing and why."""
    missing = [
        {name: each[name] for name in ("page", "start", "end", "error_code", "error_message")}
        for each in results
        if each["status"] != "completed"
    ]
    return {
        "complete": not missing,
        "strategy": strategy,
        "pages": len(results),
        "missing_pages": missing,
        **more,
    }


def _prepared(claim: Claim, _expected: Expectation) -> dict[str, Any]:
    document = claim.document
    provider, _, model = (document["lane"] or "").partition("/")
    estimator = estimator_for(model)
    # The system prompt, the schema and the tags around the content.
    overhead = 200 + estimator.estimate(
        f"{document['system_prompt'] or ''}{encode(claim.response_schema).decode() if claim.response_schema else ''}"
    )
    window = (
        None
        if document["window"] is None
        else int((document["window"] - claim.max_output_tokens) / _FINER.get(provider, 1.0)) - overhead
    )
    if window is not None and window < 100:
        return _too_long(f"the model's window of {document['window']} tokens leaves no room for a question")
    if claim.content is not None:
        return _content(claim, claim.content, window, estimator)
    return _turns(claim, window, estimator)


def _content(claim: Claim, content: str, window: int | None, estimator: TokenEstimator) -> dict[str, Any]:
    document = claim.document
    tokens = estimator.estimate(content)
    own = document["context_tokens"] or document["chunk_tokens"]
    limit = min(each for each in (own, window, tokens) if each is not None)
    if tokens <= limit:
        return _FITS
    if document["on_overflow"] != "paginate":
        return _too_long(
            f"the content has {tokens} tokens and {limit} fit: set on_overflow to paginate, or a model that reads more"
        )
    room = int(min(each for each in (document["chunk_tokens"], (window or limit) * ROOM_SHARE) if each))
    pages = _cut(content, room, document, estimator)
    if len(pages) > MAX_PAGES:
        raise InvalidRequestError(
            f"{len(pages)} pages of {room} tokens are too many, at most {MAX_PAGES}: set a larger chunk_tokens"
        )
    return {"outcome": "completed", "step": "paginated", "pages": pages, "finish_reason": "paginated"}


def _cut(
    content: str, room: int, document: Mapping[str, Any], estimator: TokenEstimator
) -> list[dict[str, Any]]:
    if document["chunk_by"] == "records":
        try:
            records = chunk_records(content, max_tokens=room, estimator=estimator)
        except ValueError as problem:
            raise InvalidRequestError(f"content: {problem}") from None
        return [
            {"start": each.start, "end": each.end, "tokens": each.tokens, "text": each.text}
            for each in records
        ]
    overlap = min(document["overlap_tokens"] or 0, room // 2)
    chunks = chunk_text(content, max_tokens=room, overlap_tokens=overlap, estimator=estimator)
    return [{"start": each.start, "end": each.end, "tokens": each.tokens} for each in chunks]


def _turns(claim: Claim, window: int | None, estimator: TokenEstimator) -> dict[str, Any]:
    texts = (
        turn["content"] if isinstance(turn.get("content"), str) else encode(turn).decode()
        for turn in claim.messages
    )
    sizes = [estimator.estimate(text) + MESSAGE_TOKENS for text in texts]
    if window is None or sum(sizes) <= window:
        return _FITS
    if claim.document["on_overflow"] != "compress":
        return _too_long(
            f"the conversation has {sum(sizes)} tokens and {window} fit: set on_overflow to compress, or drop older turns"
        )
    older = _older_turns(claim.messages, sizes, window)
    if older is None:
        return _too_long(f"its last turn alone has {sizes[-1]} tokens and {window} fit")
    first, last = older
    turns = claim.messages[first:last]
    rest = [*claim.messages[:first], *claim.messages[last:]]
    brief_tokens = min(max(DEFAULT_BRIEF_TOKENS, window // 8), window // 4)
    page = {
        "turns": [first, last],
        "content": turns_text(turns),
        "rest_bytes": len(encode(rest)),
        "params": {"brief_tokens": brief_tokens},
    }
    return {"outcome": "completed", "step": "paginated", "pages": [page], "finish_reason": "compressed"}


def _older_turns(
    messages: Sequence[Mapping[str, Any]], sizes: Sequence[int], window: int
) -> tuple[int, int] | None:
    """Which turns become a brief: all between the leading system turns and the newest ones that fill half of the window.

    A tool's answer stays with the call it answers.
    """
    first = 0
    while first < len(messages) and messages[first].get("role") in ("system", "developer"):
        first += 1
    last = len(messages) - 1
    if last <= first or sum(sizes[:first]) + sizes[last] > window * 3 // 4:
        return None
    room = window // 2 - sum(sizes[:first])
    used = sizes[last]
    while last - 1 > first and used + sizes[last - 1] <= room:
        last -= 1
        used += sizes[last]
    while last < len(messages) - 1 and messages[last].get("role") == "tool":
        last += 1
    return (first, last) if last > first else None


def _merged(claim: Claim, expected: Expectation) -> dict[str, Any]:
    results = claim.document["results"]
    strategy = claim.document["strategy"] or ("merge" if expected.schema else "concat")
    try:
        merged = merge_pages(strategy, page_results(results), claim.response_schema)
    except ValueError as problem:
        raise InvalidRequestError(f"the pages cannot be merged: {problem}") from None
    report = merge_report(results, strategy, provenance=merged.provenance, conflicts=merged.conflicts)
    if isinstance(merged.value, str):
        return {"outcome": "completed", "response": merged.value, "merge_report": report}
    text = encode(merged.value).decode()
    # A list of the pages' answers, or a brief, is not what the schema describes; each page was checked by itself.
    schema = None if strategy == "concat" or claim.kind == "brief" else expected.schema
    return {**checked_facts(check_text(text, schema=schema), text), "merge_report": report}


def _too_long(message: str) -> dict[str, Any]:
    return failure_facts(Failure(ErrorCode.CONTEXT_OVERFLOW, message))


_FITS: dict[str, Any] = {"outcome": "completed", "step": "fits", "finish_reason": "fits"}
